//! `GET /api/openapi.json`: the API described, a file kept by hand. A test holds it and the router equal.

use crate::reply;
use axum::http::StatusCode;
use axum::response::Response;

/// The document.
pub const DOCUMENT: &str = include_str!("../openapi.json");

/// The route.
pub async fn document() -> Response {
    reply::text(StatusCode::OK, DOCUMENT)
}

#[cfg(test)]
mod tests {
    use super::DOCUMENT;
    use crate::router::served;
    use serde_json::Value;
    use std::collections::BTreeSet;

    #[test]
    fn every_served_route_is_described_and_the_other_way_round() {
        let document: Value = serde_json::from_str(DOCUMENT).expect("the document is JSON");
        let paths = document["paths"].as_object().expect("paths");
        let described: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().expect("methods");
                methods.keys().map(move |method| (method.to_uppercase(), path.clone()))
            })
            .collect();
        assert_eq!(described, served().listed);
    }

    #[test]
    fn every_route_says_what_it_does_and_every_reference_leads_somewhere() {
        let document: Value = serde_json::from_str(DOCUMENT).expect("the document is JSON");
        let mut references = Vec::new();
        for (path, methods) in document["paths"].as_object().expect("paths") {
            for (method, operation) in methods.as_object().expect("methods") {
                assert!(operation["summary"].is_string(), "{method} {path} has no summary");
                assert!(operation["responses"].is_object(), "{method} {path} has no responses");
                collect(operation, &mut references);
                let named = path.matches('{').count();
                let declared = operation["parameters"]
                    .as_array()
                    .map_or(0, |all| all.iter().filter(|parameter| parameter["in"] == "path").count());
                assert_eq!(named, declared, "{method} {path}: parameters in the path");
            }
        }
        collect(&document["components"], &mut references);
        assert!(!references.is_empty());
        for reference in references {
            let place = reference.strip_prefix('#').expect("a local reference");
            assert!(document.pointer(place).is_some(), "{reference}");
        }
    }

    fn collect(value: &Value, references: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                for (name, inner) in object {
                    match (name.as_str(), inner.as_str()) {
                        ("$ref", Some(reference)) => references.push(reference.to_owned()),
                        _ => collect(inner, references),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
            _ => {}
        }
    }
}
