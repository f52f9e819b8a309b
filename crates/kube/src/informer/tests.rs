//! Tests of informers against a scripted API server.
