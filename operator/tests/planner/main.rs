//! The planner, judged by examples (`golden`) and by what must hold in every history (`histories`).

#![allow(clippy::unwrap_used)]

mod converged;
mod golden;
mod histories;
mod losses;
mod scenario;
