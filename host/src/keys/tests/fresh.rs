//! Renewing while the node runs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::KeyPair;

use super::*;

/// Polls it until `done`, with a count of the changes that it has told of.
async fn while_fresh(files: &ClusterFiles, done: impl AsyncFn(&AtomicUsize)) {
    let told = AtomicUsize::new(0);
    tokio::select! {
        () = files.keep_fresh(|| { told.fetch_add(1, Ordering::SeqCst); }) => unreachable!(),
        () = done(&told) => {}
    }
}

async fn until_told(told: &AtomicUsize, times: usize) {
    while told.load(Ordering::SeqCst) < times {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
}

// covers: keys.fresh
#[tokio::test(start_paused = true)]
async fn a_certificate_is_renewed_before_its_end_and_its_owner_told() {
    let root = root();
    let files = open(&root).unwrap();
    while_fresh(&files, async |told: &AtomicUsize| {
        for times in 1..=2 {
            own::write_certificate(&root, days(29));
            let before = read(&root, CERTIFICATE);
            until_told(told, times).await;
            assert_ne!(read(&root, CERTIFICATE), before);
            assert!(show(&wanted(&root)).unwrap().expires > Timestamp::now() + days(700));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_operators_new_files_are_told_of_once_they_fit() {
    let (root, company) = (root(), given::Company::new());
    let key = KeyPair::generate().unwrap();
    let wanted = given::give(&root, &company, &key, &company.signs(&key, |_| {}));
    let files = ClusterFiles::open(wanted).unwrap();
    while_fresh(&files, async |told: &AtomicUsize| {
        let new = KeyPair::generate().unwrap();
        fs::write(root.path().join("c.pem"), company.signs(&new, |_| {})).unwrap();
        tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
        assert_eq!(told.load(Ordering::SeqCst), 0, "half of the change is none");
        fs::write(root.path().join("k.pem"), new.serialize_pem()).unwrap();
        until_told(told, 1).await;
        tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
        assert_eq!(told.load(Ordering::SeqCst), 1, "once");
    })
    .await;
}
