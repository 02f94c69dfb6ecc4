//! A folder of the test's own.

use std::path::PathBuf;

/// A folder, removed in the end.
pub struct Folder(PathBuf);

impl Folder {
    /// A new one; no two of a test binary have the same name.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringherd-test-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Writes a file; its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.file(name);
        std::fs::write(&path, text).expect("a file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
