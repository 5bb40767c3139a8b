//! Tests of the data layer on real files.
