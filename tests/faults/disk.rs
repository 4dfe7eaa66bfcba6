//! [`Shadow`]: the image that `powerloss.c` keeps, and what a power cut makes of a data directory.
//!
//! Names: a directory is as at its last sync or as it was at the end, drawn for each directory (file systems
//! keep the order of a directory's changes). Content: drawn by [`Loss`] for each file.

use crate::dice::Dice;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

const PAGE: usize = 4096;
/// What a disk writes whole.
const SECTOR: usize = 512;

/// What becomes of writes that were not synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// None reached the disk, and no name either.
    All,
    /// Those up to a random sector of each file did.
    End,
    /// A random choice of pages of each file did.
    Mixed,
}

pub struct Shadow {
    data: PathBuf,
    shadow: PathBuf,
}

/// An entry of a directory.
struct Entry {
    is_directory: bool,
    key: String,
    name: String,
}

/// Everything as the server left it, by key.
#[derive(Default)]
struct Current {
    names: HashMap<String, Vec<Entry>>,
    content: HashMap<String, Vec<u8>>,
}

/// What a power cut did.
#[derive(Default)]
struct Told {
    files_changed: u32,
    pages_lost: u32,
    pages_kept: u32,
    directories_old: u32,
}

impl Shadow {
    /// The image of a data directory that is durable as it is.
    pub fn new(data: &Path, shadow: &Path) -> Self {
        let made = Self { data: data.into(), shadow: shadow.into() };
        made.take_as_durable();
        made
    }

    /// Replaces the data directory by what a power cut leaves of it; that is durable then. Says what was lost.
    pub fn cut_power(&mut self, loss: Loss, dice: &mut Dice) -> String {
        let (mut current, mut told) = (Current::default(), Told::default());
        let root = current.read(&self.data);
        let after = self.data.with_extension("after");
        self.build(&current, &root, &after, &mut (loss, dice, &mut told));
        fs::remove_dir_all(&self.data).expect("the server is dead");
        fs::rename(&after, &self.data).expect("the place is free");
        self.take_as_durable();
        format!(
            "{} files with unsynced pages ({} lost, {} kept), {} directories with old names",
            told.files_changed, told.pages_lost, told.pages_kept, told.directories_old
        )
    }

    fn build(&self, current: &Current, key: &str, target: &Path, chance: &mut (Loss, &mut Dice, &mut Told)) {
        fs::create_dir(target).expect("a fresh name");
        let durable = self.durable_names(key);
        let entries = match current.names.get(key) {
            Some(now) if same_names(now, &durable) => durable.iter().collect::<Vec<_>>(),
            Some(now) if chance.0 != Loss::All && chance.1.coin() => now.iter().collect(),
            _ => {
                chance.2.directories_old += 1;
                durable.iter().collect()
            }
        };
        for entry in entries {
            let target = target.join(&entry.name);
            if entry.is_directory {
                self.build(current, &entry.key, &target, chance);
                continue;
            }
            let durable = fs::read(self.shadow.join("content").join(&entry.key)).unwrap_or_default();
            let content = match current.content.get(&entry.key) {
                Some(now) if *now != durable => survivors(now, &durable, chance),
                _ => durable,
            };
            fs::write(target, content).expect("a place for it");
        }
    }

    fn durable_names(&self, key: &str) -> Vec<Entry> {
        let text = fs::read_to_string(self.shadow.join("names").join(key)).unwrap_or_default();
        let entry = |line: &str| {
            let mut words = line.splitn(3, ' ').map(str::to_owned);
            let mut word = || words.next().expect("three words a line");
            Entry { is_directory: word() == "d", key: word(), name: word() }
        };
        text.lines().map(entry).collect()
    }

    fn take_as_durable(&self) {
        let _none_yet = fs::remove_dir_all(&self.shadow);
        let (names, content) = (self.shadow.join("names"), self.shadow.join("content"));
        fs::create_dir_all(&names).expect("a place for it");
        fs::create_dir_all(&content).expect("a place for it");
        let mut current = Current::default();
        current.read(&self.data);
        for (key, entries) in &current.names {
            let line =
                |e: &Entry| format!("{} {} {}\n", if e.is_directory { 'd' } else { 'f' }, e.key, e.name);
            fs::write(names.join(key), entries.iter().map(line).collect::<String>()).expect("written");
        }
        for (key, bytes) in &current.content {
            fs::write(content.join(key), bytes).expect("written");
        }
    }
}

impl Current {
    /// Reads a directory with all below; gives its key.
    fn read(&mut self, directory: &Path) -> String {
        let mut entries = Vec::new();
        for item in fs::read_dir(directory).expect("a directory") {
            let item = item.expect("an entry");
            let is_directory = item.file_type().expect("its type").is_dir();
            let key = if is_directory { self.read(&item.path()) } else { key_of(&item.path()) };
            if !is_directory {
                self.content.insert(key.clone(), fs::read(item.path()).expect("readable"));
            }
            let name = item.file_name().into_string().expect("the server's names are plain");
            entries.push(Entry { is_directory, key, name });
        }
        let key = key_of(directory);
        self.names.insert(key.clone(), entries);
        key
    }
}

/// Inode number and time of birth, as `powerloss.c` writes them.
fn key_of(path: &Path) -> String {
    let metadata = fs::symlink_metadata(path).expect("it is there");
    let created = metadata.created().expect("this file system keeps the time of birth");
    let born = created.duration_since(UNIX_EPOCH).expect("born after 1970");
    format!("{}-{}.{:09}", metadata.ino(), born.as_secs(), born.subsec_nanos())
}

fn same_names(one: &[Entry], other: &[Entry]) -> bool {
    let sorted = |entries: &[Entry]| {
        let mut pairs: Vec<_> = entries.iter().map(|e| (e.name.clone(), e.key.clone())).collect();
        pairs.sort();
        pairs
    };
    sorted(one) == sorted(other)
}

/// What is left of a file whose content `now` was durable only as `durable`.
fn survivors(now: &[u8], durable: &[u8], (loss, dice, told): &mut (Loss, &mut Dice, &mut Told)) -> Vec<u8> {
    told.files_changed += 1;
    let end = dice.below((now.len() / SECTOR) as u64 + 2) as usize * SECTOR;
    // The length is data about the file: it is lost or kept apart from its pages.
    let length = match loss {
        Loss::All => durable.len(),
        Loss::End => now.len().min(end).max(durable.len().min(now.len())),
        Loss::Mixed if dice.coin() => now.len(),
        Loss::Mixed => durable.len(),
    };
    let mut left = durable.to_vec();
    left.resize(length, 0);
    for start in (0..length.min(now.len())).step_by(PAGE) {
        let page = start..(start + PAGE).min(length).min(now.len());
        if left[page.clone()] == now[page.clone()] {
            continue;
        }
        let kept = match loss {
            Loss::All => 0,
            Loss::End => end.clamp(page.start, page.end) - page.start,
            Loss::Mixed => {
                if dice.coin() {
                    page.len()
                } else {
                    0
                }
            }
        };
        left[page.start..page.start + kept].copy_from_slice(&now[page.start..page.start + kept]);
        *(if kept > 0 { &mut told.pages_kept } else { &mut told.pages_lost }) += 1;
    }
    left
}
