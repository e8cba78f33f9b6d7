//! Checks the rules of DESIGN: floors, import cycles, sizes, and which files may exist. All of `src` is read; a file
//! that no rule covers fails the tests. What the build script does for the pages is tested here, too.
#![forbid(unsafe_code)]

#[path = "../../src/build/bundle.rs"]
mod bundle;
mod bundling;
mod circles;
mod floors;
mod imports;
mod sizes;
mod source;
mod top;
mod world;
