//! jemalloc, in every program that has this library in it: all daemons and tools. How it is set, the heap profile
//! included, stands in `.cargo/config.toml`: it is told when it is built.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
