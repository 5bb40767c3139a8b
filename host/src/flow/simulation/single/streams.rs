//! A stream that is read loses messages, or is made anew.

use super::*;

// covers: flow.gap
#[tokio::test]
async fn messages_that_were_purged_unread_are_counted_as_a_gap() {
    let mut pair = Pair::new(100).await;
    pair.write(0..10).await;
    pair.publish().await;
    pair.ingest.step().await.unwrap();
    pair.write(10..30).await;
    pair.publish().await;
    assert!(pair.network.state().purge("a", &dog(), 5));
    // It is found whether the stream was being read or is looked at anew.
    let mut steps = 0;
    while pair.ingest.step().await != Ok(Step::Nothing) {
        steps += 1;
        assert!(steps < 10);
    }
    assert_eq!((pair.count().await, pair.figures().gap), (15, 15));
    pair.write(30..40).await;
    pair.publish().await;
    assert!(pair.network.state().purge("a", &dog(), 0));
    pair.restart();
    assert_eq!(pair.ingest.step().await, Ok(Step::Nothing));
    assert_eq!((pair.count().await, pair.figures().gap), (15, 25));
    assert_eq!(pair.applied().await, Some(41));
    pair.restart();
    assert_eq!(pair.ingest.step().await, Ok(Step::Nothing));
    assert_eq!(pair.figures().gap, 25, "it is counted once");
}

// covers: flow.acks-each
#[tokio::test]
async fn what_is_far_away_is_acknowledged_one_by_one() {
    let mut pair = Pair::new(100).await;
    let floor = |pair: &Pair| pair.network.state().floor("a", &dog(), "b");
    pair.write(0..5).await;
    pair.publish().await;
    let last = pair.network.state().place("a", &dog()).unwrap().1;
    assert_eq!(pair.ingest.step().await, Ok(Step::Some));
    assert_eq!(floor(&pair), Some((last, false)));
    pair.network.state().skip_to("a", &dog(), FAR * 3);
    pair.write(5..10).await;
    pair.publish().await;
    assert_eq!(pair.ingest.step().await, Ok(Step::Some));
    assert_eq!((pair.count().await, floor(&pair)), (10, Some((FAR * 3 + 4, false))));
    // Where the durable consumer has to be made anew.
    pair.network.bus("b").remove("a", &dog()).await.unwrap();
    pair.restart();
    pair.write(10..12).await;
    pair.publish().await;
    assert_eq!(pair.ingest.step().await, Ok(Step::Some));
    assert_eq!((pair.count().await, floor(&pair)), (12, Some((FAR * 3 + 6, true))));
    assert_eq!(pair.figures().gap, FAR * 3 - last - 1);
}

// covers: flow.sequences
#[tokio::test]
async fn a_sequence_that_no_stream_has_is_refused() {
    let mut pair = Pair::new(100).await;
    pair.write(0..5).await;
    pair.publish().await;
    assert_eq!(pair.ingest.step().await, Ok(Step::Some));
    let before = pair.applied().await;
    pair.network.state().skip_to("a", &dog(), u64::MAX - 5);
    pair.write(5..8).await;
    pair.publish().await;
    for _ in 0..3 {
        let refused = pair.ingest.step().await;
        assert!(matches!(refused, Err(IngestError::Bus(BusError::Refused(_)))), "{refused:?}");
    }
    assert_eq!((pair.applied().await, pair.figures().gap), (before, 0));
}

// covers: figures.gap.kept
#[tokio::test]
async fn a_gap_is_known_after_a_restart_though_the_node_is_away() {
    let mut pair = Pair::new(100).await;
    pair.write(0..10).await;
    pair.publish().await;
    assert!(pair.network.state().purge("a", &dog(), 5));
    while pair.ingest.step().await.unwrap() == Step::Some {}
    assert_eq!(pair.figures().gap, 6);
    // What was counted in memory is gone, and so is the other node.
    pair.figures = Arc::default();
    let (bus, of) = (Network::default().bus("b"), pair.figures.subscription("a", &dog()));
    let mut away =
        Ingest::new(pair.b.clone(), bus, how(100, pair.memory.clone()), subscription(), of.clone());
    assert!(away.step().await.is_err());
    assert_eq!((pair.figures().state, pair.figures().gap), (State::Away, 6));
    // Another subscription begins anew, and counts what is lost to it.
    let start = Start::After { created: None, sequence: 1 };
    let other = Subscription { start, ..subscription() };
    let mut other = Ingest::new(
        pair.b.clone(),
        pair.network.bus("b"),
        how(100, pair.memory.clone()),
        other,
        of,
    );
    while other.step().await.unwrap() == Step::Some {}
    assert_eq!(pair.figures().gap, 6, "not twelve");
}

// covers: flow.lost-end
#[tokio::test]
async fn a_stream_that_loses_its_end_or_is_made_anew_is_noticed_while_nothing_comes() {
    let mut pair = Pair::new(100).await;
    pair.write(0..10).await;
    pair.publish().await;
    while pair.ingest.step().await != Ok(Step::Nothing) {}
    assert_eq!(pair.applied().await, Some(11));
    for id in [20, 21] {
        if id == 20 {
            assert!(pair.network.state().lose_end("a", &dog(), 5));
        } else {
            pair.network.state().make("a", &dog());
        }
        // So few that the sequence does not pass where it was.
        pair.write(id..id + 1).await;
        pair.publish().await;
        pair.time.fetch_add(80_000_000, Relaxed);
        let mut steps = 0;
        while pair.ingest.step().await != Ok(Step::Nothing) {
            steps += 1;
            assert!(steps < 10);
        }
    }
    assert_eq!((pair.count().await, pair.applied().await), (12, Some(1)));
    // All is well: one question a minute.
    let before = pair.network.state().asked;
    for _ in 0..600 {
        pair.time.fetch_add(1_000_000, Relaxed);
        assert_eq!(pair.ingest.step().await, Ok(Step::Nothing));
    }
    let asked = pair.network.state().asked - before;
    assert!((8..=12).contains(&asked), "{asked} questions in ten minutes");
}

// covers: flow.lost-end
#[tokio::test]
async fn messages_that_take_the_place_of_lost_ones_are_no_repetition() {
    let mut pair = Pair::new(100).await;
    pair.write(0..10).await;
    pair.publish().await;
    while pair.ingest.step().await != Ok(Step::Nothing) {}
    assert!(pair.network.state().lose_end("a", &dog(), 5));
    pair.time.fetch_add(11_000_000, Relaxed);
    pair.write(20..22).await;
    pair.publish().await;
    let mut steps = 0;
    while pair.ingest.step().await != Ok(Step::Nothing) {
        steps += 1;
        assert!(steps < 10);
    }
    assert_eq!(pair.count().await, 12);
}
