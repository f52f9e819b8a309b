//! The volume plugins against upstream's rules: one table of cases for each, and the property that judging on base ⊕ delta
//! equals judging with the delta applied.

mod binding;
mod limits;
mod matching;
mod reservation;
mod restrictions;
mod scene;
mod views;
mod zone;
