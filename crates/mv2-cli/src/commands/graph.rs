//! How branches part and meet, drawn beside their commits.
//!
//! ```text
//! *    6      a merge opens a lane for what it merged
//! |\
//! | *  5
//! * |  4
//! |/          lanes that wait for the same commit become one before it
//! *    3
//! ```

use mv2::{Commit, CommitId};

/// The lanes below the commits that were drawn: each waits for a commit.
#[derive(Debug, Default)]
pub(super) struct Graph {
    lanes: Vec<CommitId>,
}

/// What stands to the left of a commit, and the lines above and below it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Drawn {
    pub(super) above: Vec<String>,
    pub(super) beside: String,
    pub(super) below: Vec<String>,
}

impl Graph {
    /// Draws the next commit. They come newest first.
    pub(super) fn draw(&mut self, commit: &Commit) -> Drawn {
        let mut above = Vec::new();
        let first = self.lanes.iter().position(|lane| *lane == commit.id);
        let at = first.unwrap_or_else(|| {
            self.lanes.push(commit.id);
            self.lanes.len() - 1
        });
        while let Some(other) = self.lanes.iter().rposition(|lane| *lane == commit.id)
            && other > at
        {
            above.push(self.join(at, other));
            self.lanes.remove(other);
        }
        let mut beside = self.lines();
        beside.replace_range(2 * at..=2 * at, "*");
        let mut below = Vec::new();
        match commit.parent.get() {
            // Nothing was before it.
            0 => {
                if at + 1 < self.lanes.len() {
                    below.push(self.close(at));
                }
                self.lanes.remove(at);
            }
            _ => self.lanes[at] = commit.parent,
        }
        if let Some(second) = commit.second_parent {
            let to = match commit.parent.get() {
                0 => at,
                _ => at + 1,
            };
            self.lanes.insert(to, second);
            below.push(self.open(to));
        }
        Drawn {
            above,
            beside,
            below,
        }
    }

    /// Every lane goes straight on.
    fn lines(&self) -> String {
        vec!["|"; self.lanes.len()].join(" ")
    }

    /// A lane goes into one to the left of it, and those to the right of it move up.
    fn join(&self, at: usize, other: usize) -> String {
        let mut row = String::new();
        for lane in 0..self.lanes.len() {
            if lane > other {
                // Behind the slash of the lane before.
                row.push_str(" /");
                continue;
            }
            if lane == other {
                row.push('/');
                continue;
            }
            row.push('|');
            if lane + 1 != other {
                row.push(if lane >= at { '_' } else { ' ' });
            }
        }
        row
    }

    /// A lane ends, and those to the right of it move up.
    fn close(&self, at: usize) -> String {
        let mut row = vec!["|"; at].join(" ");
        row.push_str(if at > 0 { "  /" } else { " /" });
        for _ in at + 2..self.lanes.len() {
            row.push_str(" /");
        }
        row
    }

    /// A lane was opened, and those to the right of it moved on.
    fn open(&self, to: usize) -> String {
        let mut row = vec!["|"; to].join(" ");
        for _ in to..self.lanes.len() {
            row.push('\\');
            row.push(' ');
        }
        row.truncate(row.trim_end().len());
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(commits: &[(u64, u64, Option<u64>)]) -> String {
        let mut graph = Graph::default();
        let mut lines = Vec::new();
        for (id, parent, second) in commits {
            let mut commit = Commit::default();
            commit.id = CommitId(*id);
            commit.parent = CommitId(*parent);
            commit.second_parent = second.map(CommitId);
            let drawn = graph.draw(&commit);
            lines.extend(drawn.above);
            lines.push(format!("{} {id}", drawn.beside));
            lines.extend(drawn.below);
        }
        lines.join("\n")
    }

    #[test]
    fn one_line_of_commits_is_a_line() {
        assert_eq!(draw(&[(2, 1, None), (1, 0, None)]), "* 2\n* 1");
    }

    #[test]
    fn a_branch_and_its_merge() {
        let drawn = draw(&[(6, 5, Some(4)), (5, 3, None), (4, 3, None), (3, 0, None)]);
        assert_eq!(drawn, "* 6\n|\\\n* | 5\n| * 4\n|/\n* 3");
    }

    #[test]
    fn a_lane_crosses_others_on_its_way() {
        let drawn = draw(&[
            (6, 2, None),
            (5, 1, None),
            (4, 2, None),
            (3, 2, None),
            (2, 1, None),
            (1, 0, None),
        ]);
        let expected = "\
* 6
| * 5
| | * 4
| | | * 3
|_|_|/
|_|/
* | 2
|/
* 1";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn histories_that_never_meet_end_apart() {
        let drawn = draw(&[(4, 2, None), (3, 1, None), (2, 0, None), (1, 0, None)]);
        assert_eq!(drawn, "* 4\n| * 3\n* | 2\n /\n* 1");
    }

    #[test]
    fn a_merge_among_other_lanes() {
        let drawn = draw(&[
            (7, 3, None),
            (6, 4, Some(5)),
            (5, 3, None),
            (4, 3, None),
            (3, 0, None),
        ]);
        let expected = "\
* 7
| * 6
| |\\
| | * 5
| * | 4
|_|/
|/
* 3";
        assert_eq!(drawn, expected);
    }
}
