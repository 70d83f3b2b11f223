//! Prints the documentation of nsqlookupd's options: a part of `docs/options.md`.

use nsqlookupd::options::Options;

fn main() {
    print!("{}", Options::command("hostname").markdown());
}
