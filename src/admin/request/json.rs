//! How strict the JSON of requests is read. Knows no route.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::{BodyError, MAX_DESCRIPTION};
use crate::admin::text::truncated;

/// Reads one JSON object, and nothing after it.
pub(super) fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    serde_json::from_slice(body)
        .map(|Object(value)| value)
        .map_err(|error| BodyError::Json(truncated(error.to_string(), MAX_DESCRIPTION)))
}

/// A value that is written as an object. A derived `Deserialize` also takes an array of the
/// fields' values, which no client means.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Object)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// An integer from 0 to `MAX`, written as one: `1.0`, `1e3` and `"3"` are not.
pub(super) struct Integer<const MAX: u32>(pub(super) u32);

impl<'de, const MAX: u32> Deserialize<'de> for Integer<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(IntegerVisitor::<MAX>)
    }
}

struct IntegerVisitor<const MAX: u32>;

impl<const MAX: u32> Visitor<'_> for IntegerVisitor<MAX> {
    type Value = Integer<MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an integer from 0 to {MAX}")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        match u32::try_from(value) {
            Ok(value) if value <= MAX => Ok(Integer(value)),
            _ => Err(E::invalid_value(Unexpected::Unsigned(value), &self)),
        }
    }
}

/// For optional fields: a field that is there has a value. (Plain `Option` takes `null`.)
pub(super) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// For optional fields that are written as text; the error of `T` names the choices.
pub(super) fn parsed<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    String::deserialize(deserializer)?.parse().map(Some).map_err(D::Error::custom)
}
