//! `docs/report.schema.json` is what the report's types say, and `docs/report-format.md` names every field of it.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::LazyLock;
use wsclose::report::model::{Line, Report};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

/// The schema of a whole report and of an NDJSON line, generated from the types.
pub(crate) fn generated() -> Value {
    let mut generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    let kinds = [generator.subschema_for::<Report<'_>>(), generator.subschema_for::<Line<'_>>()];
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": wsclose::report::model::SCHEMA,
        "description": "A report of wsclose: one Report with --format json, one Line a line with --format ndjson.",
        "anyOf": kinds,
        "$defs": generator.take_definitions(true),
    })
}

/// Compiled once: thousands of reports are checked.
static VALIDATORS: LazyLock<BTreeMap<&str, jsonschema::Validator>> = LazyLock::new(|| {
    let validator = |definition| {
        let mut schema = generated();
        schema.as_object_mut().unwrap().remove("anyOf");
        schema["$ref"] = json!(format!("#/$defs/{definition}"));
        (definition, jsonschema::validator_for(&schema).expect("a valid schema"))
    };
    ["Report", "Line", "Connection"].map(validator).into()
});

/// Fails unless `value` is what the schema calls `definition`.
pub(crate) fn assert_valid(definition: &str, value: &Value) {
    let errors: Vec<String> = VALIDATORS[definition]
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{}\n{value:#}", errors.join("\n"));
}

#[test]
fn the_schema_file_is_what_the_types_say() {
    let path = file("report.schema.json");
    let text = serde_json::to_string_pretty(&generated()).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "docs/report.schema.json is stale. Write it anew with\n    UPDATE=1 cargo test --test it schema\n\
         and say in docs/report-format.md and CHANGELOG.md what has changed."
    );
}

/// Every property that the schema names, at any depth.
fn properties(schema: &Value, found: &mut BTreeSet<String>) {
    if let Some(named) = schema.get("properties").and_then(Value::as_object) {
        found.extend(named.keys().cloned());
    }
    let inner = schema.as_object().into_iter().flat_map(|map| map.values());
    inner.chain(schema.as_array().into_iter().flatten()).for_each(|value| properties(value, found));
}

#[test]
fn every_field_is_documented() {
    let text = std::fs::read_to_string(file("report-format.md")).unwrap();
    let mut fields = BTreeSet::new();
    properties(&generated(), &mut fields);
    assert!(fields.contains("closed_by") && fields.contains("reason_base64"));
    let is_documented = |field: &String| {
        let plain = field.trim_end_matches("_base64");
        text.contains(&format!("`{plain}`"))
    };
    let missing: Vec<_> = fields.iter().filter(|field| !is_documented(field)).collect();
    assert!(missing.is_empty(), "docs/report-format.md does not name: {missing:?}");
}

#[test]
fn the_schema_refuses_what_is_no_report() {
    let schema = generated();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(!validator.is_valid(&json!({ "schema": "wsclose.report/1" })));
    assert!(!validator.is_valid(&json!({ "type": "connection", "id": 1 })));
    assert!(!validator.is_valid(&json!({ "type": "gossip" })));
}
