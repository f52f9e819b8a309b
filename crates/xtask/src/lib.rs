//! Developer commands as a library.
