//! Tests of decoding as a whole.
