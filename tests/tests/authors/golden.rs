//! The clustering plugin's golden cases, on the node that authors of plugins have, without HTTP; and
//! each of them recorded and replayed.

use harper_host::testing::{Case, FakeNode, MemoryConfig, Tested};
use harper_host::transcript::{Recorder, Transcript, replay};
use harper_host::{Caller, ComponentSource, Host};
use harper_tests::golden::{self, Caller as Asker};

/// Those that need no more than such a node has.
fn cases() -> Vec<golden::Case> {
    let (cases, wrong) = golden::cases().unwrap();
    assert!(wrong.is_empty(), "{wrong:?}");
    let fits = |case: &golden::Case| {
        case.cluster.is_some() && case.settings.caller == Asker::SuperUser && case.edited.is_none()
    };
    let cases: Vec<_> = cases.into_iter().filter(fits).collect();
    assert!(cases.len() > 50, "{}", cases.len());
    cases
}

// covers: testing.golden
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cases_of_the_clustering_plugin() {
    let plugin = Tested::clustering().unwrap();
    let mut wrong = Vec::new();
    for case in cases() {
        let texts = Case::read(&case.folder).unwrap().run(&plugin).await.unwrap();
        wrong.extend(texts.into_iter().map(|text| format!("{}: {text}", case.name)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// covers: transcripts.same
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_case_is_recorded_and_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("calls.jsonl");
    let recorder = Recorder::open(&file).unwrap();
    let cases = cases();
    for case in &cases {
        let node = FakeNode::new(case.cluster.clone().unwrap());
        let config = MemoryConfig::new(serde_yaml::from_slice(&case.before).unwrap());
        let builder = Host::builder().config(config).record(recorder.clone());
        let host = node.give_to(builder).build().await.unwrap();
        let request = serde_json::from_slice(&case.request).unwrap();
        // An error is a reply like another.
        let _ = host.dispatch(&Caller::super_user("admin"), request).await;
    }
    let text = std::fs::read_to_string(&file).unwrap();
    let transcripts = Transcript::read_all(&text).unwrap();
    assert_eq!(transcripts.len(), cases.len());
    for (transcript, case) in transcripts.iter().zip(&cases) {
        let replayed = replay(transcript, ComponentSource::clustering()).await.unwrap();
        assert_eq!(replayed.difference, None, "{}", case.name);
        assert!(replayed.is_same, "{}: {replayed:?} {:?}", case.name, transcript.ended());
    }
}
