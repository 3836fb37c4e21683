// Sends the requests that stand on stdin (a list of lists of fields), those of CONNECT left out, one after the other.
package main

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"os"
	"strings"
)

func main() {
	var input []json.RawMessage
	var requests [][][]string
	if json.NewDecoder(os.Stdin).Decode(&input) != nil || json.Unmarshal(input[0], &requests) != nil {
		os.Exit(1)
	}
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	for _, fields := range requests {
		request, _ := http.NewRequest("GET", "https://127.0.0.1:"+os.Args[1], nil)
		for _, field := range fields {
			switch {
			case field[0] == ":path":
				request.URL.Path, request.URL.RawQuery, _ = strings.Cut(field[1], "?")
			case field[0] == ":method":
				request.Method = field[1]
			case field[0][0] != ':':
				request.Header.Add(field[0], field[1])
			}
		}
		if request.Method == "CONNECT" {
			continue
		}
		answer, err := transport.RoundTrip(request)
		if err != nil {
			panic(err)
		}
		answer.Body.Close()
	}
	transport.CloseIdleConnections()
}
