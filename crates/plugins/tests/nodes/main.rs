//! Plugins that judge a node by what it is and has, against upstream's rules: small tables.

mod resources;
mod scene;
mod simple;
