//! Every command and flag, once: help, completions and the reference derive from here.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use mv2::Timestamp;

pub(crate) const EXIT_CODES: &str = "Exit codes: 0 done or found, 1 nothing found or a check that failed, \
    2 wrong usage or an error, 130 interrupted.";

pub(crate) const EXAMPLES: &str = "\
Examples:
  mv2 put notes.mv2 notes/                 import a folder
  echo 'call Ada' | mv2 put notes.mv2 -    remember a line
  mv2 search notes.mv2 'who to call'       find it again
  mv2 context notes.mv2 'who to call'      passages for a prompt, with sources
  mv2 get notes.mv2 todo/today.md          read a document
  mv2 timeline notes.mv2 --since yesterday see what happened
  mv2 log notes.mv2                        see what was put when
  mv2 search notes.mv2 Ada --as-of ~3      search what was known three commits ago
  mv2 branch notes.mv2 create draft        try something out beside the rest
  mv2 backup notes.mv2 copy.mv2            copy it, also while it is written";

/// Long-term memory for AI agents in one .mv2 file.
#[derive(Parser, Debug)]
#[command(name = "mv2", version, max_term_width = 100, after_help = EXIT_CODES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Print JSON; errors too, on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How long to wait for another writer
    #[arg(long, global = true, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) lock_wait: Duration,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Also into a file or pipe
    Always,
    /// Not at all
    Never,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Make a new memory file
    Create(CreateArgs),
    /// Put documents: files, folders, standard input or JSON lines
    Put(PutArgs),
    /// Search the documents
    Search(SearchArgs),
    /// Print the best passages for a prompt, under a budget of tokens
    Context(ContextArgs),
    /// List documents in the order of their event times, newest first
    Timeline(TimelineArgs),
    /// Print a document
    Get(GetArgs),
    /// Put a new version in the place of a document
    Update(UpdateArgs),
    /// Delete documents; they stay in the history
    Delete(DeleteArgs),
    /// List the commits, newest first
    Log(LogArgs),
    /// Show what changed between two commits
    Diff(DiffArgs),
    /// List the versions of a document, newest first
    History(HistoryArgs),
    /// Step through commits and searches that were noted down, and make the searches again
    Replay(ReplayArgs),
    /// Search, and show since when what is found was known, and what was known before
    Audit(AuditArgs),
    /// List the branches, or make, delete or rename one
    Branch(BranchCommand),
    /// List the tags, or make, delete or rename one
    Tag(TagCommand),
    /// Choose the branch that commands read and write if they name none
    Checkout(CheckoutArgs),
    /// Bring the documents of another branch into this one
    Merge(MergeArgs),
    /// Make an older state the newest, by a new commit; nothing is lost
    Rewind(RewindArgs),
    /// Print figures of the memory and its file
    Stats(StatsArgs),
    /// Check the file
    Verify(VerifyArgs),
    /// Make the vectors of the documents, where they are missing or of another model
    Reembed(ReembedArgs),
    /// Rebuild each index as one segment, for faster searches
    Optimize(OptimizeArgs),
    /// Give back the space of dead bytes; history stays
    Vacuum(VacuumArgs),
    /// Forget frames for good: take them out of the file and all its past
    Purge(PurgeArgs),
    /// Make the file small and read-only
    Seal(SealArgs),
    /// Make a sealed file writable again
    Unseal(UnsealArgs),
    /// Copy the newest commit and its history, also while others write
    Backup(BackupArgs),
    /// List embedding models, download one, or say where it is
    Models(ModelsArgs),
    /// Print the completion script of a shell
    Completions(CompletionsArgs),
    /// Print a page that is made from these definitions
    #[command(hide = true)]
    Generate(GenerateArgs),
}

#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    /// Size of the write-ahead log, 64K to 64M
    #[arg(long, value_name = "BYTES", value_parser = byte_size)]
    pub(crate) wal_bytes: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct PutArgs {
    /// The memory file; it is made if there is none
    pub(crate) file: PathBuf,
    /// Files and folders, or `-` for standard input, which is also read if nothing is named
    ///
    /// A folder is taken with everything in it that its ignore files (.gitignore, .ignore) do not
    /// exclude, except hidden files and memory files. The uri of a document is its path inside the
    /// folder, that of a single file its name. A document that is there already, unchanged, is
    /// skipped. Of a page (.html, .htm) the visible text is searched; the page itself is kept as it is.
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Delete what the folders do not hold any more
    ///
    /// That is each document that an earlier import of the same folder put, and that this one does
    /// not find, because the file is gone or excluded now. A document that was put in another way stays,
    /// and so does everything under a part of a folder that cannot be read. What is deleted stays in the history.
    #[arg(long, conflicts_with = "jsonl")]
    pub(crate) prune: bool,
    /// Only say what --prune would delete; put and delete nothing
    #[arg(long, requires = "prune")]
    pub(crate) dry_run: bool,
    /// Read a document from each line of JSON in PATH, or standard input
    ///
    /// A line is {"text", "uri"?, "title"?, "timestamp"?, "tags"?, "labels"?, "kind"?, "track"?,
    /// "metadata"?, "vector"?}. Lines that cannot be read are reported and skipped, and the exit code is 2.
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = "-", conflicts_with = "paths")]
    pub(crate) jsonl: Option<PathBuf>,
    /// Commit after so many documents, or 8 MiB, whichever comes first
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) commit_every: u64,
    /// Stop at the first document that cannot be read, and drop what is not committed
    #[arg(long)]
    pub(crate) strict: bool,
    /// The name of the document
    #[arg(long)]
    pub(crate) uri: Option<String>,
    #[command(flatten)]
    pub(crate) document: DocumentArgs,
    /// A line for the log
    #[arg(long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    #[command(flatten)]
    pub(crate) embedding: EmbeddingArgs,
    #[command(flatten)]
    pub(crate) on: BranchArgs,
}

// What makes the vectors of what is put. Not a doc comment, as below.
#[derive(Args, Debug)]
pub(crate) struct EmbeddingArgs {
    /// Make no vectors: the text is found by its words alone (a "vector" of a line is kept)
    #[arg(long)]
    pub(crate) no_embed: bool,
    /// What makes the vectors; by default what made those that are there, or mv2-static, which is built in
    ///
    /// A model by name (`mv2 models list`), a folder with one, or URL#MODEL for a service that speaks /v1/embeddings, as
    /// http://localhost:11434/v1#nomic-embed-text. The service is sent the texts, and the key in MV2_EMBEDDER_KEY if that is set; the
    /// memory keeps the model's name and neither address nor key.
    #[arg(long, value_name = "NAME", conflicts_with = "no_embed")]
    pub(crate) embedder: Option<String>,
}

/// What is known of a document besides its bytes.
#[derive(Args, Debug)]
pub(crate) struct DocumentArgs {
    /// A title; by default the first heading of a Markdown file, or the file's name
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// A tag to filter by; can be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) tags: Vec<(String, String)>,
    /// A label to filter by; can be repeated
    #[arg(long = "label", value_name = "LABEL")]
    pub(crate) labels: Vec<String>,
    /// What sort of document it is
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// A stream of yours that it belongs to
    #[arg(long)]
    pub(crate) track: Option<String>,
    /// When what it tells happened: RFC 3339, a date or Unix seconds; by default now
    #[arg(long, value_name = "TIME", value_parser = time, allow_negative_numbers = true)]
    pub(crate) timestamp: Option<Timestamp>,
    /// Anything else to keep with it, as JSON
    #[arg(long, value_name = "JSON", value_parser = json)]
    pub(crate) metadata: Option<serde_json::Value>,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Query: words, \"phrases\", +must, -not, field:value, tag:k=v, uri:prefix*, date:2024-05, date:[2024 TO *],
AND, OR, NOT and parentheses. Times are written as for `mv2 timeline`; a cursor belongs to those of its first page.
Put -- before a query that begins with a dash. One that cannot be understood is searched as plain words.")]
pub(crate) struct SearchArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    /// What to search for; several words may stand without quotes
    #[arg(required_unless_present_any = ["like", "vector"])]
    pub(crate) query: Vec<String>,
    /// Take the query as plain words: quotes, signs and the like are no operators
    #[arg(long)]
    pub(crate) plain: bool,
    /// How many documents to show at the most
    #[arg(short = 'k', long, value_name = "N", default_value_t = 10, value_parser = top_k)]
    pub(crate) top_k: usize,
    /// Which indexes to ask
    ///
    /// hybrid is both in one list: what has the words, and what means the same without them. Without vectors, and for queries
    /// with operators, it is the words alone.
    #[arg(long, default_value = "hybrid")]
    pub(crate) mode: SearchMode,
    /// What makes a vector of the query, as for `mv2 put`; by default what made the memory's
    #[arg(long, value_name = "NAME")]
    pub(crate) embedder: Option<String>,
    /// Search for what is like this document, by its vectors, instead of a query
    #[arg(long, value_name = "ID|URI", conflicts_with_all = ["query", "vector"])]
    pub(crate) like: Option<String>,
    /// A vector to search with, as JSON: for memories whose vectors you make
    #[arg(long, value_name = "[N,...]", value_parser = vector, allow_hyphen_values = true)]
    pub(crate) vector: Option<Vector>,
    /// Look at every vector, also where there is a graph of them, which finds nearly all that it should
    #[arg(long)]
    pub(crate) exact: bool,
    #[command(flatten)]
    pub(crate) filters: FilterArgs,
    /// Length of the snippets, in characters
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) snippet_chars: usize,
    /// Go on behind the page whose `next_cursor` this is (see --json)
    #[arg(long)]
    pub(crate) cursor: Option<String>,
    /// Count all documents that match, not only enough for the answer
    #[arg(long)]
    pub(crate) count: bool,
    /// Show what each index says of a hit
    #[arg(long)]
    pub(crate) explain: bool,
    /// Print only the numbers of the frames
    #[arg(long)]
    pub(crate) ids_only: bool,
    /// Note the search down in the file, with what it finds, for `mv2 replay`
    #[arg(long)]
    pub(crate) journal: bool,
    #[command(flatten)]
    pub(crate) past: PastArgs,
}

// Which commit a reader sees. Not a doc comment: clap would make it the description of each command.
#[derive(Args, Debug)]
pub(crate) struct PastArgs {
    /// Read the memory as it was: at a commit (12), at a time (2026-11-25, '2h ago'), at a tag or branch (v1), or so many
    /// commits ago (~1)
    ///
    /// Times are those of commits: when the memory learned something. A day means its end (in UTC). A name that is a branch and a tag
    /// is written branch:NAME or tag:NAME; ~N behind any of them goes N commits further back.
    #[arg(long, value_name = "COMMIT|TIME|NAME", allow_hyphen_values = true)]
    pub(crate) as_of: Option<String>,
    #[command(flatten)]
    pub(crate) on: BranchArgs,
}

// Which branch is read or written. Not a doc comment, as above.
#[derive(Args, Debug)]
pub(crate) struct BranchArgs {
    /// The branch to read or write, instead of the one that is checked out
    #[arg(long, value_name = "NAME")]
    pub(crate) branch: Option<String>,
}

// Which documents a search or a context considers at all. Not a doc comment: clap would make it the
// description of both commands.
#[derive(Args, Debug)]
pub(crate) struct FilterArgs {
    /// Only documents with this tag; can be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) tags: Vec<(String, String)>,
    /// Only documents with this label; can be repeated
    #[arg(long = "label", value_name = "LABEL")]
    pub(crate) labels: Vec<String>,
    /// Only documents of this kind
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Only documents of this track
    #[arg(long)]
    pub(crate) track: Option<String>,
    /// Only the document with this uri, or those under a prefix that ends in *
    #[arg(long)]
    pub(crate) uri: Option<String>,
    #[command(flatten)]
    pub(crate) times: TimeArgs,
}

// A range of event times. Not a doc comment, as above.
#[derive(Args, Debug)]
pub(crate) struct TimeArgs {
    /// The earliest event time; of a day, month or year its start
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) since: Option<String>,
    /// The latest event time, included; of a day, month or year its end
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) until: Option<String>,
}

impl TimeArgs {
    /// Both ends, as they were written.
    pub(crate) fn ends(&self) -> [Option<&str>; 2] {
        [self.since.as_deref(), self.until.as_deref()]
    }
}

/// Which indexes a search asks.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SearchMode {
    /// The words of the documents
    Lex,
    /// The vectors of the documents
    Vec,
    /// Both
    Hybrid,
}

impl From<SearchMode> for mv2::Mode {
    fn from(mode: SearchMode) -> Self {
        match mode {
            SearchMode::Lex => Self::Lex,
            SearchMode::Vec => Self::Vec,
            SearchMode::Hybrid => Self::Hybrid,
        }
    }
}

/// A vector. A type of its own, so that clap does not take it for several values.
#[derive(Clone, Debug)]
pub(crate) struct Vector(pub(crate) Vec<f32>);

fn vector(text: &str) -> Result<Vector, String> {
    serde_json::from_str(text)
        .map(Vector)
        .map_err(|error| format!("not a JSON array of numbers: {error}"))
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Each passage stands below a line that cites it: [1] title (uri, frame 12, 2026-11-25). `mv2 get` finds
the document by the uri or by the number of the frame. Passages that repeat others are left out.

Tokens are estimated without a model, rather too many than too few.
Put -- before a query that begins with a dash.")]
pub(crate) struct ContextArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    /// What the prompt is about, in plain words; several may stand without quotes
    #[arg(required = true)]
    pub(crate) query: Vec<String>,
    /// How many tokens to print at the most
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = top_k)]
    pub(crate) max_tokens: usize,
    /// Which indexes to ask, as for `mv2 search`
    #[arg(long, default_value = "hybrid")]
    pub(crate) mode: SearchMode,
    /// How many documents to take passages from at the most
    #[arg(short = 'k', long, value_name = "N", default_value_t = 20, value_parser = top_k)]
    pub(crate) top_k: usize,
    /// What makes a vector of the query, as for `mv2 put`; by default what made the memory's
    #[arg(long, value_name = "NAME")]
    pub(crate) embedder: Option<String>,
    /// Note the search that this makes down in the file, with what it finds, for `mv2 replay`
    #[arg(long)]
    pub(crate) journal: bool,
    #[command(flatten)]
    pub(crate) filters: FilterArgs,
    #[command(flatten)]
    pub(crate) past: PastArgs,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Times: 2024-05-01T10:00:00Z, a day like 2024-05-01, 2024-05, 2024, Unix seconds like @1714521600,
now, today, yesterday, or something like '2h ago'. Days are those of UTC.

A cursor belongs to the --since, --until and --reverse of its first page; repeat them.")]
pub(crate) struct TimelineArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) times: TimeArgs,
    /// How many documents to list at the most
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = top_k)]
    pub(crate) limit: usize,
    /// Oldest first
    #[arg(long)]
    pub(crate) reverse: bool,
    /// Where to go on, as the page before said
    #[arg(long, value_name = "CURSOR")]
    pub(crate) cursor: Option<String>,
    #[command(flatten)]
    pub(crate) past: PastArgs,
}

#[derive(Args, Debug)]
pub(crate) struct GetArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    /// The document's uri, or the number of its frame
    #[arg(value_name = "ID|URI")]
    pub(crate) target: String,
    /// Print the document byte for byte and nothing else
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) past: PastArgs,
}

#[derive(Args, Debug)]
pub(crate) struct UpdateArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    /// The document's uri, or the number of its frame
    #[arg(value_name = "ID|URI")]
    pub(crate) target: String,
    /// A file with the new version, or `-` for standard input; without it the document stays and
    /// what the flags name is changed
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
    /// A new name of the document
    #[arg(long)]
    pub(crate) uri: Option<String>,
    #[command(flatten)]
    pub(crate) document: DocumentArgs,
    /// A line for the log
    #[arg(long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    #[command(flatten)]
    pub(crate) embedding: EmbeddingArgs,
    #[command(flatten)]
    pub(crate) on: BranchArgs,
}

#[derive(Args, Debug)]
pub(crate) struct DeleteArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    /// Uris of documents, or numbers of frames; all are deleted, or if one is not there, none
    #[arg(value_name = "ID|URI", required = true)]
    pub(crate) targets: Vec<String>,
    /// A line for the log
    #[arg(long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    #[command(flatten)]
    pub(crate) on: BranchArgs,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Without --graph and --all it is the history of the branch that is read, in which a merge is one commit.
Names in parentheses are branches whose newest commit it is, and tags.")]
pub(crate) struct LogArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    /// Draw how branches part and meet
    ///
    /// Those of all branches, or with --branch or --as-of of what lies before that commit.
    #[arg(long)]
    pub(crate) graph: bool,
    /// List every commit that is in the file, also those that no branch leads to any more
    #[arg(long, conflicts_with_all = ["as_of", "branch"])]
    pub(crate) all: bool,
    /// How many commits to list at the most
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// List the frames that each commit changed
    #[arg(long)]
    pub(crate) frames: bool,
    /// The earliest time of a commit; of a day, month or year its start
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) since: Option<String>,
    /// The latest time of a commit, included; of a day, month or year its end
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) until: Option<String>,
    #[command(flatten)]
    pub(crate) past: PastArgs,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
A commit is named by its number, a time, the name of a branch or tag, or how far back it is, as for --as-of. Like diff, the exit code is 1 if there are
differences and 0 if there are none.")]
pub(crate) struct DiffArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    /// The commit to begin with
    #[arg(value_name = "A", allow_hyphen_values = true)]
    pub(crate) from: String,
    /// The commit to end with
    #[arg(value_name = "B", allow_hyphen_values = true, default_value = "head")]
    pub(crate) to: String,
    /// List the documents alone, without what changed in their texts
    #[arg(long)]
    pub(crate) stat: bool,
    #[command(flatten)]
    pub(crate) on: BranchArgs,
}

#[derive(Args, Debug)]
pub(crate) struct HistoryArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    /// The document's uri
    pub(crate) uri: String,
    /// Show what each version changed in the text of the one before
    #[arg(long)]
    pub(crate) diff: bool,
    #[command(flatten)]
    pub(crate) past: PastArgs,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  mv2 branch notes.mv2                       the branches, the one that is checked out with a star
  mv2 branch notes.mv2 create draft          a branch that begins at the newest commit
  mv2 branch notes.mv2 create old 2026-10    one that begins where the memory was at the end of October
  mv2 branch notes.mv2 rename draft idea
  mv2 branch notes.mv2 delete idea           its commits stay, and can be read by their numbers

A branch takes a few bytes, whatever the size of the memory. What is put on it is not seen on the others.")]
pub(crate) struct BranchCommand {
    /// The memory file
    pub(crate) file: PathBuf,
    /// What to do
    #[arg(default_value = "list")]
    pub(crate) action: RefAction,
    /// The branch
    #[arg(required_if_eq_any([("action", "create"), ("action", "delete"), ("action", "rename")]))]
    pub(crate) name: Option<String>,
    /// For `create` the commit that it begins at, named as for --as-of, by default the newest; for `rename` the new name
    #[arg(
        value_name = "AT|NEW",
        allow_hyphen_values = true,
        required_if_eq("action", "rename")
    )]
    pub(crate) more: Option<String>,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  mv2 tag notes.mv2                          the tags
  mv2 tag notes.mv2 create v1                name the newest commit
  mv2 tag notes.mv2 create before ~1         name the one before it
  mv2 tag notes.mv2 rename v1 v1.0
  mv2 tag notes.mv2 delete v1.0              the commit stays

A tag does not move. Readers take it as --as-of v1.")]
pub(crate) struct TagCommand {
    /// The memory file
    pub(crate) file: PathBuf,
    /// What to do
    #[arg(default_value = "list")]
    pub(crate) action: RefAction,
    /// The tag
    #[arg(required_if_eq_any([("action", "create"), ("action", "delete"), ("action", "rename")]))]
    pub(crate) name: Option<String>,
    /// For `create` the commit, named as for --as-of, by default the newest; for `rename` the new name
    #[arg(
        value_name = "AT|NEW",
        allow_hyphen_values = true,
        required_if_eq("action", "rename")
    )]
    pub(crate) more: Option<String>,
}

/// What to do with branches or tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RefAction {
    /// List them
    List,
    /// Make one
    Create,
    /// Take one away
    Delete,
    /// Give one another name
    Rename,
}

#[derive(Args, Debug)]
pub(crate) struct CheckoutArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    /// The branch
    pub(crate) name: String,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Documents that either side put are there afterwards, and those that either side deleted are not. A document that both sides changed,
each in its own way, is a conflict: nothing is merged then, unless --ours or --theirs says which side to keep.")]
pub(crate) struct MergeArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    /// The branch whose documents to bring
    pub(crate) name: String,
    /// Where both sides changed a document, keep that of the branch that is written
    #[arg(long)]
    pub(crate) ours: bool,
    /// Where both sides changed a document, keep that of the branch that is merged
    #[arg(long, conflicts_with = "ours")]
    pub(crate) theirs: bool,
    /// A line for the log
    #[arg(long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    #[command(flatten)]
    pub(crate) on: BranchArgs,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
What was committed since can be read by its number or a time, and rewinding to it brings it back.")]
pub(crate) struct RewindArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    /// The commit to go back to, named as for --as-of: a number, a time, a tag, or ~1 for the one before the newest
    #[arg(allow_hyphen_values = true)]
    pub(crate) at: String,
    /// A line for the log
    #[arg(long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    #[command(flatten)]
    pub(crate) on: BranchArgs,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Searches are noted down with `mv2 search --journal` and `mv2 context --journal`, or by programs that turn the journal on. Each is made
again at the commit that it searched, where it has to find the same frames in the same order with the same scores, or where --at
says; then scores are not compared. A line is + for what is found now, - for what was found, ~ for another version of it, > for what
stands elsewhere among the others, ! for anything else; numbers are ranks.

Like diff, the exit code is 1 if there are differences and 0 if there are none.")]
pub(crate) struct ReplayArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    /// From which commit to which, named as for --as-of; either end may be left out. The searches that were noted down before
    /// the next commit are part of the last one
    #[arg(value_name = "FROM..TO", allow_hyphen_values = true)]
    pub(crate) range: Option<String>,
    /// Make all searches again at this commit, named as for --as-of: head is what the same question finds today
    #[arg(long, value_name = "COMMIT|TIME|NAME", allow_hyphen_values = true)]
    pub(crate) at: Option<String>,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Of each document that is found stands here when its version came, and which versions there were before under the same uri: from which
commit until which a search would have seen it, whether this query found it, and what it said.")]
pub(crate) struct AuditArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    /// What to search for, as for `mv2 search`
    #[arg(required = true)]
    pub(crate) query: Vec<String>,
    /// Take the query as plain words: quotes, signs and the like are no operators
    #[arg(long)]
    pub(crate) plain: bool,
    /// How many documents to show at the most
    #[arg(short = 'k', long, value_name = "N", default_value_t = 5, value_parser = top_k)]
    pub(crate) top_k: usize,
    /// Which indexes to ask, as for `mv2 search`
    #[arg(long, default_value = "hybrid")]
    pub(crate) mode: SearchMode,
    /// What makes a vector of the query, as for `mv2 put`; by default what made the memory's
    #[arg(long, value_name = "NAME")]
    pub(crate) embedder: Option<String>,
    #[command(flatten)]
    pub(crate) filters: FilterArgs,
    /// Length of the snippets, in characters
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) snippet_chars: usize,
    #[command(flatten)]
    pub(crate) past: PastArgs,
}

#[derive(Args, Debug)]
pub(crate) struct StatsArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) past: PastArgs,
}

#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    /// Read every byte and decode every frame
    #[arg(long)]
    pub(crate) deep: bool,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Without --embedder only documents that have no vectors get some. What is seen of the past keeps the vectors that it had.")]
pub(crate) struct ReembedArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    /// Make all vectors anew with this model, named as for `mv2 put`, if those that are there are of another
    #[arg(long, value_name = "NAME")]
    pub(crate) embedder: Option<String>,
    #[command(flatten)]
    pub(crate) on: BranchArgs,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
The file grows by what is rebuilt. `mv2 vacuum` rebuilds as well and gives the space back.")]
pub(crate) struct OptimizeArgs {
    /// The memory file
    pub(crate) file: PathBuf,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
The new file takes the place of the old one at once; other processes follow to it. Until then \
    there has to be space for both. `mv2 stats` says when a vacuum is worth it.")]
pub(crate) struct VacuumArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    /// Write a new file and leave the old one as it is
    ///
    /// For a file that cannot be replaced because it has another hard link or is mounted on its own. What is
    /// committed to the old file in the meantime is not in the new one.
    #[arg(long, value_name = "NEW")]
    pub(crate) to: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
A frame goes if all that is said holds for it: it has one of the ids or uris, all of the tags, a time in the range. Frames are \
    looked at one by one, whatever became of them: superseded versions, deleted documents and those of other branches too.

The file is written anew without them: documents, uris, titles, tags, metadata, vectors, words in indexes, hashes, and messages of commits \
    that put or ended them. Ids stay as holes, and a commit says that a purge happened. Out of reach are backups and other copies, \
    snapshots of the file system, and the blocks of the old file until the disk overwrites them; who has the old file open keeps it until \
    it is closed.

Without a terminal to ask on, --yes is needed. If there is nothing to purge, the exit code is 1.")]
pub(crate) struct PurgeArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    /// This frame; can be repeated
    #[arg(long = "id", value_name = "N")]
    pub(crate) ids: Vec<u64>,
    /// All versions under this uri, or under a prefix that ends in *; can be repeated
    #[arg(long = "uri", value_name = "URI")]
    pub(crate) uris: Vec<String>,
    /// Only frames with this tag; can be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) tags: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) times: TimeArgs,
    /// Only what was superseded or deleted before a commit or time, and no branch or tag shows
    ///
    /// Alone it cuts the history off there: the commit and those after it stay as they are.
    #[arg(long, value_name = "COMMIT|TIME", allow_hyphen_values = true)]
    pub(crate) before: Option<String>,
    /// Show what would go, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
A sealed file has no log and no dead bytes. Reading and searching work as before; writing fails \
    until `mv2 unseal`. A file that is sealed stays as it is.")]
pub(crate) struct SealArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    /// Leave out the positions of words
    ///
    /// The file gets smaller by about a fifth of its text. Answers stay the same; a search for a quoted phrase takes longer.
    #[arg(long)]
    pub(crate) small: bool,
}

#[derive(Args, Debug)]
#[command(after_long_help = "A file that is not sealed stays as it is.")]
pub(crate) struct UnsealArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    /// Size of the write-ahead log, 64K to 64M
    #[arg(long, value_name = "BYTES", value_parser = byte_size)]
    pub(crate) wal_bytes: Option<u64>,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Every byte that is copied is checked, so that damage does not spread into the copy. No lock is taken.")]
pub(crate) struct BackupArgs {
    /// The memory file
    pub(crate) file: PathBuf,
    /// The copy; there must not be a file yet
    #[arg(value_name = "DST")]
    pub(crate) destination: PathBuf,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  mv2 models                               what there is, and what is on this machine
  mv2 models pull multilingual-e5-small    download one
  mv2 models path multilingual-e5-small    its folder

Models lie in the cache of Hugging Face's hub (HF_HUB_CACHE, HF_HOME), where other programs find them, too. Nothing
but `pull` downloads any, and with HF_HUB_OFFLINE=1 it does not either. HF_ENDPOINT names a mirror.")]
pub(crate) struct ModelsArgs {
    /// What to do
    #[arg(default_value = "list")]
    pub(crate) action: ModelsAction,
    /// A model of the list, or any other as publisher/name
    #[arg(value_name = "MODEL", required_if_eq_any([("action", "pull"), ("action", "path")]))]
    pub(crate) model: Option<String>,
}

/// What to do with models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModelsAction {
    /// List the models that have a name here
    List,
    /// Download a model, or the rest of it
    Pull,
    /// Print the folder of a model
    Path,
}

#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

#[derive(Args, Debug)]
pub(crate) struct GenerateArgs {
    /// Which page
    pub(crate) page: Page,
}

/// A page about the whole command.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Page {
    /// The reference, docs/cli.md
    Markdown,
    /// The manual page, as roff
    Man,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "expected seconds, like 10 or 0.5".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    mv2::time::parse(text).map_err(|_| "expected RFC 3339, a date or Unix seconds".to_owned())
}

fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}

fn top_k(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a number from 1 on".to_owned()),
        Ok(number) => Ok(number),
    }
}

fn byte_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        _ => return Err("expected bytes, like 1048576, 1024K or 1M".to_owned()),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "expected bytes, like 1048576 or 1M".to_owned())?;
    let bytes = number.saturating_mul(factor);
    let allowed = mv2::store::MIN_WAL_BYTES..=mv2::store::MAX_WAL_BYTES;
    if allowed.contains(&bytes) {
        Ok(bytes)
    } else {
        Err("expected 64K to 64M".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(byte_size("65536"), Ok(65_536));
        assert_eq!(byte_size("64K"), Ok(65_536));
        assert_eq!(byte_size("1MiB"), Ok(1 << 20));
        for wrong in ["", "K", "1", "65M", "1G", "-1K", "999999999999999999999K"] {
            assert!(byte_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn waits_are_finite() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["-1", "inf", "nan", "x"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
