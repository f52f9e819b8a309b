//! Tests of the dispatcher against a scripted API server.
