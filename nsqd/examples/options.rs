//! Prints the documentation of nsqd's options: `docs/options.md`.

use nsqd::options::{DOCUMENTED_HOST, Options};

fn main() {
    print!("{}", Options::command(DOCUMENTED_HOST).markdown());
}
