//! One field of a line of JSON, by a name that is known only now; the others are passed over.

use std::fmt;

use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};

/// The text in that field.
///
/// # Errors
/// The line is no JSON object, has no such field, or has no string there.
pub(super) fn text(line: &str, field: &str) -> Result<String, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(line);
    let text = (&mut json).deserialize_map(Field(field))?;
    json.end()?;
    Ok(text)
}

struct Field<'a>(&'a str);

impl<'de> Visitor<'de> for Field<'_> {
    type Value = String;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "an object with a string in {:?}", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != self.0 {
                map.next_value::<IgnoredAny>()?;
            } else if found.replace(map.next_value()?).is_some() {
                return Err(A::Error::custom(format!("{:?} is there twice", self.0)));
            }
        }
        found.ok_or_else(|| A::Error::custom(format!("{:?} is not there", self.0)))
    }
}
