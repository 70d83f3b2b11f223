//! The planner, judged by examples (`golden`) and by what must hold in every history (`histories`).

mod golden;
mod histories;
mod scenario;
