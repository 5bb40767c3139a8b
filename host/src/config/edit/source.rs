//! Positions in a text: lines, columns and the gaps between tokens. No position can make it panic.

use std::ops::Range;

/// The text of a YAML file, without its byte order mark.
#[derive(Clone, Copy)]
pub(super) struct Source<'a>(pub &'a str);

impl<'a> Source<'a> {
    pub fn len(self) -> usize {
        self.0.len()
    }

    pub fn byte(self, at: usize) -> Option<u8> {
        self.0.as_bytes().get(at).copied()
    }

    pub fn slice(self, range: Range<usize>) -> &'a str {
        self.0.get(range).unwrap_or_default()
    }

    /// The start of the line that holds `at`.
    pub fn line_start(self, at: usize) -> usize {
        self.slice(0..at).rfind(['\n', '\r']).map_or(0, |i| i + 1)
    }

    /// The start of the line after the one that holds `at`, or the end of the text. A position that
    /// follows a line break directly (where a block scalar ends) counts as the end of its line.
    pub fn line_end(self, at: usize) -> usize {
        if self.slice(0..at).ends_with(['\n', '\r']) {
            return at;
        }
        match self.slice(at..self.len()).find(['\n', '\r']) {
            Some(i) => at + i + self.line_break(at + i).len(),
            None => self.len(),
        }
    }

    /// The line break that stands at `at`.
    fn line_break(self, at: usize) -> &'static str {
        match (self.byte(at), self.byte(at + 1)) {
            (Some(b'\r'), Some(b'\n')) => "\r\n",
            (Some(b'\r'), _) => "\r",
            _ => "\n",
        }
    }

    /// The end of the blanks, line breaks and comments that start at `at`.
    pub fn skip_gap(self, mut at: usize) -> usize {
        while let Some(byte) = self.byte(at) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => at += 1,
                b'#' => {
                    let rest = self.slice(at..self.len());
                    at += rest.find(['\n', '\r']).unwrap_or(rest.len());
                }
                _ => break,
            }
        }
        at
    }

    /// The end of the line when nothing but blanks and a comment follows `at` there, else `at`.
    pub fn skip_rest_of_line(self, at: usize) -> usize {
        let rest = self.slice(at..self.len());
        let open = rest.trim_start_matches([' ', '\t']);
        match open.starts_with(['#', '\n', '\r']) {
            true => self.line_end(self.len() - open.len()),
            false => at,
        }
    }

    /// The end of the blank lines that start at `at`, itself the start of a line.
    pub fn skip_blank_lines(self, mut at: usize) -> usize {
        while at < self.len() {
            let end = self.line_end(at + 1).max(at + 1);
            if !self.slice(at..end).trim().is_empty() {
                break;
            }
            at = end;
        }
        at
    }

    /// What stands before `at` on its line, when that is nothing but blanks.
    pub fn indentation(self, at: usize) -> Option<&'a str> {
        let start = self.slice(0..at).trim_end_matches([' ', '\t']).len();
        let alone = start == 0 || self.slice(0..start).ends_with(['\n', '\r']);
        alone.then(|| self.slice(start..at))
    }

    /// How many characters stand before `at` on its line.
    pub fn column(self, at: usize) -> usize {
        self.slice(self.line_start(at)..at).chars().count()
    }

    /// The number of the line that holds `at`, from 1.
    pub fn line(self, at: usize) -> usize {
        let breaks = self.slice(0..at).match_indices(['\n', '\r']);
        1 + breaks.filter(|(i, _)| self.line_break(*i) != "\r\n").count()
    }

    /// The line ending of the file, as its first line has it.
    pub fn eol(self) -> &'static str {
        self.0.find(['\n', '\r']).map_or("\n", |at| self.line_break(at))
    }
}
