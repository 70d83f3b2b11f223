//! Floats the way Go's JSON encoder writes them: a whole number has no `.0`.

use serde::Serializer;

/// Beyond this a float no longer holds every whole number, and Go changes to exponents later still.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Serialises `1.0` as `1` and `0.99` as `0.99`, for `#[serde(serialize_with = ...)]`.
#[allow(clippy::cast_possible_truncation)] // guarded by EXACT
pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.fract() == 0.0 && value.abs() < EXACT {
        serializer.serialize_i64(*value as i64)
    } else {
        serializer.serialize_f64(*value)
    }
}
