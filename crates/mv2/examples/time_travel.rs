//! An agent answered wrongly: what did it know then, who taught it so, and how is it undone?
#![allow(clippy::print_stdout)]

use mv2::{Memvid, MergeOptions, PutOptions, SearchRequest, Selector};

fn main() -> mv2::Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut mem = Memvid::create(folder.path().join("agent.mv2"))?;
    let launch = || PutOptions::builder().uri("launch.md").build();
    mem.put_bytes_with_options(b"The launch is on May 5th.", launch())?;
    mem.commit_with("from the kick-off")?;
    mem.create_tag("kick-off", Selector::Head)?;
    mem.put_bytes_with_options(b"The launch is on June 9th, somebody said.", launch())?;
    let rumour = mem.commit_with("from a chat")?.expect("it is new");

    // What would it have answered at any time? Each commit can be asked.
    let answer = |mem: &Memvid, at: Selector| -> mv2::Result<String> {
        let request = SearchRequest::builder("when is the launch").at(at).build();
        let response = mem.search(request)?;
        Ok(response.hits.into_iter().map(|hit| hit.text).collect())
    };
    println!("now: {}", answer(&mem, Selector::Head)?);
    println!("then: {}", answer(&mem, Selector::Tag("kick-off".into()))?);
    for version in mem.snapshot()?.versions("launch.md")? {
        let commit = mem.snapshot()?.commit(version.commit)?;
        let message = commit.message.unwrap_or_default();
        println!(
            "  frame {} in commit {}: {message}",
            version.frame, commit.id
        );
    }

    // The rumour was wrong: back to before it. Nothing is lost.
    mem.rewind_with(Selector::Commit(rumour.id).back(1), "June was a rumour")?;
    let rewound = answer(&mem, Selector::Head)?;
    println!("rewound: {rewound}");
    assert_eq!(rewound, "The launch is on May 5th.");
    println!("the rumour: {}", answer(&mem, rumour.id.into())?);

    // Another agent tries something out on a branch of its own, and what it found out is merged.
    mem.create_branch("research", Selector::Head)?;
    mem.use_branch("research")?;
    mem.put_bytes(b"The launch needs a permit of the harbour.")?;
    mem.commit()?;
    mem.use_branch(None)?;
    println!("on main: {} documents", mem.stats()?.active_frame_count);
    mem.merge("research", MergeOptions::new())?;
    println!("merged: {} documents", mem.stats()?.active_frame_count);
    assert_eq!(mem.stats()?.active_frame_count, 2);
    Ok(())
}

#[test]
fn the_story_is_true() {
    main().unwrap();
}
