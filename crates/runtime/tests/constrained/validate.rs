//! Whether a value satisfies a schema: as much of JSON Schema as this test's schemas use, written apart from what is tested.

use serde_json::Value;

/// Whether `value` satisfies `schema`, a part of `root`. A keyword that is not known here is a mistake of the test.
pub fn is_valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let Value::Object(keywords) = schema else {
        return schema.as_bool().expect("a schema");
    };
    keywords
        .iter()
        .all(|(keyword, wanted)| match keyword.as_str() {
            "$defs" | "description" => true,
            "additionalProperties" => check_additional(root, schema, wanted, value),
            "$ref" => {
                let pointer = wanted.as_str().and_then(|r| r.strip_prefix('#'));
                let target = root.pointer(pointer.expect("a local reference"));
                is_valid(root, target.expect("a target"), value)
            }
            "type" => match wanted {
                Value::Array(types) => types.iter().any(|one| has_type(one, value)),
                one => has_type(one, value),
            },
            "enum" => wanted.as_array().expect("a list").contains(value),
            "const" => wanted == value,
            "oneOf" => alternatives(root, wanted, value) == 1,
            "anyOf" => alternatives(root, wanted, value) > 0,
            "minimum" => value.as_f64().is_none_or(|x| x >= number(wanted)),
            "maximum" => value.as_f64().is_none_or(|x| x <= number(wanted)),
            "minLength" => value
                .as_str()
                .is_none_or(|s| s.chars().count() as f64 >= number(wanted)),
            "maxLength" => value
                .as_str()
                .is_none_or(|s| s.chars().count() as f64 <= number(wanted)),
            "minItems" => value
                .as_array()
                .is_none_or(|a| a.len() as f64 >= number(wanted)),
            "maxItems" => value
                .as_array()
                .is_none_or(|a| a.len() as f64 <= number(wanted)),
            "items" => value
                .as_array()
                .is_none_or(|a| a.iter().all(|item| is_valid(root, wanted, item))),
            "required" => value.as_object().is_none_or(|members| {
                let names = wanted.as_array().expect("a list").iter();
                names
                    .map(|name| name.as_str().expect("a name"))
                    .all(|name| members.contains_key(name))
            }),
            "properties" => value.as_object().is_none_or(|members| {
                let properties = wanted.as_object().expect("schemas").iter();
                properties
                    .filter_map(|(name, schema)| Some((schema, members.get(name)?)))
                    .all(|(schema, member)| is_valid(root, schema, member))
            }),
            other => panic!("the test's validator does not know `{other}`"),
        })
}

fn check_additional(root: &Value, schema: &Value, wanted: &Value, value: &Value) -> bool {
    value.as_object().is_none_or(|members| {
        let others = members
            .iter()
            .filter(|(name, _)| schema["properties"].get(name.as_str()).is_none());
        others
            .into_iter()
            .all(|(_, member)| is_valid(root, wanted, member))
    })
}

fn alternatives(root: &Value, schemas: &Value, value: &Value) -> usize {
    let schemas = schemas.as_array().expect("a list").iter();
    schemas
        .filter(|schema| is_valid(root, schema, value))
        .count()
}

fn has_type(name: &Value, value: &Value) -> bool {
    match name.as_str().expect("a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.as_f64().is_some_and(|x| x.fract() == 0.0),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type `{other}`"),
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}
