//! Checks the rules of DESIGN: floors, import cycles, sizes, and which files may exist. All of `src` is read; a file
//! that no rule covers fails the tests.
#![forbid(unsafe_code)]

mod circles;
mod floors;
mod imports;
mod sizes;
mod source;
mod top;
mod world;
