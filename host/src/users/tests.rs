//! Tests of logging in, with the clock stopped where time matters.

use std::sync::atomic::Ordering::Relaxed;

use futures_util::{FutureExt, future::join_all};
use tokio::time::Instant;

use super::*;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const TTL: Duration = Duration::from_secs(30);

async fn users(folder: &tempfile::TempDir) -> Users {
    let users = Users::open(Store::open(folder.path()).await.unwrap(), TTL);
    users.create_first_super_user("bob", "right").await.unwrap();
    users
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// How many times argon2 ran for `f`.
async fn runs<T>(users: &Users, f: impl Future<Output = T>) -> (usize, T) {
    let runs = &users.0.passwords.runs;
    let before = runs.load(Relaxed);
    let value = f.await;
    (runs.load(Relaxed) - before, value)
}

async fn denied(users: &Users, name: &str, password: &str) -> bool {
    users.verify(name, password, HERE).await.is_err_and(|e| e == LoginFailed::Credentials)
}

// covers: http.auth.cache-ttl
#[tokio::test(start_paused = true)]
async fn right_credentials_are_checked_once_within_the_ttl() {
    let folder = folder();
    let users = users(&folder).await;
    let login = || users.verify("bob", "right", HERE);
    let (n, caller) = runs(&users, login()).await;
    let caller = caller.unwrap();
    assert_eq!((n, &*caller.username, caller.role), (1, "bob", Role::SuperUser));
    tokio::time::advance(TTL - Duration::from_millis(500)).await;
    let (n, again) = runs(&users, login()).await;
    assert!(n == 0 && again.is_ok());
    tokio::time::advance(Duration::from_millis(500)).await;
    let (n, all) = runs(&users, join_all((0..100).map(|_| login()))).await;
    assert!(n == 1 && all.iter().all(Result::is_ok), "a hundred at once are checked once");
}

// covers: http.401.constant-time
#[tokio::test(start_paused = true)]
async fn an_unknown_user_costs_what_a_wrong_password_costs() {
    let folder = folder();
    let users = users(&folder).await;
    users.add("off", "right", &Role::SuperUser, true).await.unwrap();
    users.alter("off", Change { active: Some(false), ..Change::default() }).await.unwrap();
    users.add("node", "right", &Role::ClusterUser, true).await.unwrap();
    let cases =
        [("bob", "wrong"), ("nobody", "right"), ("", ""), ("off", "right"), ("node", "right")];
    for (name, password) in cases {
        assert_eq!(runs(&users, denied(&users, name, password)).await, (1, true), "{name}");
        let start = Instant::now();
        assert_eq!(runs(&users, denied(&users, name, password)).await, (0, true), "{name}");
        assert_eq!(start.elapsed(), SLOWED, "repeated wrong ones cost time only");
    }
    for long in [("bob", "x".repeat(MAX_PASSWORD + 1)), (&*"x".repeat(MAX_USERNAME + 1), "".into())]
    {
        assert_eq!(runs(&users, denied(&users, long.0, &long.1)).await, (0, true));
    }
}

// covers: http.auth.cache-dropped
#[tokio::test(start_paused = true)]
async fn a_changed_user_is_out_at_once() {
    let folder = folder();
    let users = users(&folder).await;
    users.add("ann", "right", &Role::SuperUser, true).await.unwrap();
    let is_in = async |password: &str| users.verify("bob", password, HERE).await.is_ok();
    assert!(!is_in("new").await && is_in("right").await);
    let password = Some("new".to_owned().into());
    users.alter("bob", Change { password, ..Change::default() }).await.unwrap();
    assert!(!is_in("right").await && is_in("new").await, "the known wrong one is forgotten too");
    let role = Some(Role::Named("reader".into()));
    users.alter("bob", Change { role, ..Change::default() }).await.unwrap();
    let caller = users.verify("bob", "new", HERE).await.unwrap();
    assert_eq!(caller.role, Role::Named("reader".into()));
    users.alter("bob", Change { active: Some(false), ..Change::default() }).await.unwrap();
    assert!(!is_in("new").await);
    users.alter("bob", Change { active: Some(true), ..Change::default() }).await.unwrap();
    assert!(is_in("new").await);
    users.remove("bob").await.unwrap();
    assert!(!is_in("new").await);
    assert!(matches!(users.remove("bob").await, Err(Error::Unknown(_))));
    assert!(matches!(users.alter("bob", Change::default()).await, Err(Error::Unknown(_))));
}

/// The check has read the old record when the user changes: its answer must not be kept.
#[tokio::test]
async fn a_check_that_a_change_overtakes_is_not_kept() {
    let folder = folder();
    let users = users(&folder).await;
    users.add("ann", "right", &Role::SuperUser, true).await.unwrap();
    let known = users.0.cache.entry(HERE, "bob", "right");
    let answer = users.0.check("bob", "right", HERE, false).await;
    users.remove("bob").await.unwrap();
    assert!(answer.login.is_ok() && known.answer.set(answer).is_ok());
    assert!(users.verify("bob", "right", HERE).await.is_err());
}

/// The check has read the old record and waits for argon2 when the user changes.
// covers: http.auth.overtaken
#[tokio::test]
async fn who_is_removed_while_the_check_waits_is_not_let_in() {
    let folder = folder();
    let users = users(&folder).await;
    users.add("ann", "right", &Role::SuperUser, true).await.unwrap();
    let held = turns(&users).await;
    let removed = async {
        until(&users, |queue| queue.waiting() == 1).await;
        users.remove("bob").await.unwrap();
        drop(held);
    };
    let login = tokio::join!(users.verify("bob", "right", HERE), removed).0;
    assert_eq!(login.unwrap_err(), LoginFailed::Credentials);
    // Changes of others cost nothing but a look at what is known.
    let (n, login) = runs(&users, users.verify("ann", "right", HERE)).await;
    assert!(n == 1 && login.is_ok());
}

/// Both turns, so that whoever asks from now on waits.
async fn turns(users: &Users) -> Vec<queue::Turn> {
    let turns = (0..queue::RUNNING).map(|_| users.0.passwords.queue.turn(Class::Known));
    join_all(turns).await.into_iter().map(Option::unwrap).collect()
}

/// Waits until so many have asked for a turn, as strangers, or until so many wait.
async fn until(users: &Users, is_so: impl Fn(&queue::Queue) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so(&users.0.passwords.queue) {
        assert!(Instant::now() < deadline, "nobody comes");
        tokio::task::yield_now().await;
    }
}

/// From as many addresses as strangers have places.
// covers: users.strangers
#[tokio::test]
async fn guesses_from_everywhere_are_in_nobodys_way_who_was_right() {
    let folder = folder();
    let users = Users::open(Store::open(folder.path()).await.unwrap(), Duration::ZERO);
    users.create_first_super_user("bob", "right").await.unwrap();
    users.verify("bob", "right", HERE).await.unwrap();
    let guess = |n: usize| {
        let (users, from) = (users.clone(), IpAddr::from([10, 1, 0, n as u8]));
        async move { users.verify(&format!("nobody {n}"), "wrong", from).await }
    };
    for name in ["ann", "eve"] {
        let held = turns(&users).await;
        let flood = join_all((0..queue::WAITING).map(guess));
        let others = async {
            until(&users, |queue| queue.waiting() == queue::WAITING).await;
            let release = async {
                until(&users, |queue| queue.waiting() > queue::WAITING).await;
                drop(held);
            };
            tokio::join!(users.verify("bob", "right", HERE), release).0.unwrap();
            users.add(name, "right", &Role::SuperUser, true).await.unwrap();
        };
        let all = tokio::join!(flood, others).0;
        assert!(all.iter().all(|l| matches!(l, Err(LoginFailed::Credentials))), "all had a turn");
    }
    // They have failed before; an address that has not is looked at in the place of one of them.
    let held = turns(&users).await;
    let flood = join_all((0..queue::WAITING).map(guess));
    let login = async {
        until(&users, |queue| queue.waiting() == queue::WAITING).await;
        let came = users.0.passwords.queue.came();
        let release = async {
            until(&users, |queue| queue.came() > came).await;
            drop(held);
        };
        tokio::join!(users.verify("bob", "right", THERE), release).0.unwrap();
    };
    let all = tokio::join!(flood, login).0;
    assert_eq!(all.iter().filter(|l| matches!(l, Err(LoginFailed::Busy))).count(), 1);
}

/// Dropped right after the commit was sent off, the change still drops what is known.
#[tokio::test]
async fn a_change_whose_caller_left_still_counts() {
    let folder = folder();
    let users = users(&folder).await;
    users.add("ann", "right", &Role::SuperUser, true).await.unwrap();
    users.verify("bob", "right", HERE).await.unwrap();
    let mut change = Box::pin(users.remove("bob"));
    assert!((&mut change).now_or_never().is_none());
    drop(change);
    let deadline = Instant::now() + Duration::from_secs(10);
    while users.verify("bob", "right", HERE).await.is_ok() {
        assert!(Instant::now() < deadline, "still in");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_guesses_slow_nobody_who_is_known() {
    let folder = folder();
    let users = users(&folder).await;
    users.verify("bob", "right", HERE).await.unwrap();
    let flood = tokio::spawn({
        let users = users.clone();
        async move {
            let guesses: Vec<_> = (0..1000).map(|n| format!("wrong {n}")).collect();
            let guesses = guesses.iter().map(|g| users.verify("bob", g, HERE));
            runs(&users, join_all(guesses)).await
        }
    });
    tokio::task::yield_now().await;
    let start = Instant::now();
    let (n, known) = runs(&users, users.verify("bob", "right", HERE)).await;
    assert!(known.is_ok() && n == 0 && start.elapsed().is_zero());
    users.verify("bob", "right", THERE).await.unwrap();
    assert!(start.elapsed() <= Duration::from_secs(2), "elsewhere: {:?}", start.elapsed());
    let (looked_at, all) = flood.await.unwrap();
    let refused = |wanted| all.iter().filter(|l| l.as_ref().is_err_and(|e| *e == wanted)).count();
    let wrong = refused(LoginFailed::Credentials);
    assert!((1..=looked_at).contains(&wrong), "{wrong} of {looked_at}");
    assert_eq!(refused(LoginFailed::Busy), 1000 - wrong, "it is not said that they were wrong");
    assert!(start.elapsed() <= guesses::LONGEST * 2, "{:?}", start.elapsed());
    assert!(looked_at < 15, "{looked_at} guesses of one client were looked at");
}

/// While one guesses on from the same address, who was right before gets in again and again.
// covers: http.auth.no-lock
#[tokio::test(start_paused = true)]
async fn who_was_right_is_not_slowed_when_the_ttl_is_over() {
    let folder = folder();
    let users = users(&folder).await;
    users.verify("bob", "right", HERE).await.unwrap();
    for round in 0..5 {
        tokio::time::advance(TTL).await;
        let flood: Vec<_> = (0..50).map(|n| format!("wrong {round} {n}")).collect();
        let mut flood = Box::pin(join_all(flood.iter().map(|g| users.verify("bob", g, HERE))));
        assert!((&mut flood).now_or_never().is_none());
        let start = Instant::now();
        let login = tokio::select! {
            biased;
            login = users.verify("bob", "right", HERE) => login,
            _ = &mut flood => unreachable!("guesses take their time"),
        };
        assert!(login.is_ok());
        assert!(start.elapsed() < Duration::from_millis(250), "{:?}", start.elapsed());
        flood.await;
    }
}

#[tokio::test(start_paused = true)]
async fn guesses_get_slower() {
    let folder = folder();
    let users = users(&folder).await;
    let mut times = Vec::new();
    for n in 0..12 {
        let start = Instant::now();
        assert!(denied(&users, "bob", &format!("wrong {n}")).await);
        times.push(start.elapsed());
    }
    let ms: Vec<_> = times.iter().map(Duration::as_millis).collect();
    // What argon2 takes of the real time does not move the stopped clock.
    assert_eq!(ms, [0, 0, 0, 0, 0, 250, 500, 1000, 2000, 4000, 4000, 4000]);
    assert!(users.verify("bob", "right", HERE).await.is_ok(), "slowed, never locked");
}

#[tokio::test(start_paused = true)]
async fn who_mistypes_now_and_then_is_not_slowed() {
    let folder = folder();
    let users = users(&folder).await;
    let start = Instant::now();
    for round in 0..2 {
        for n in 0..4 {
            assert!(denied(&users, "bob", &format!("wrong {round} {n}")).await);
        }
        users.verify("bob", "right", HERE).await.unwrap();
        users.0.cache.forget("bob");
    }
    assert!(start.elapsed().is_zero(), "{:?}", start.elapsed());
}

#[tokio::test]
async fn the_first_super_user_is_the_first() {
    let folder = folder();
    let users = Users::open(Store::open(folder.path()).await.unwrap(), TTL);
    for name in ["", "a:b", "a\nb", &"x".repeat(MAX_USERNAME + 1)] {
        let made = users.create_first_super_user(name, "x").await;
        assert!(matches!(made, Err(Error::Name)), "{name}");
    }
    for password in ["", &"x".repeat(MAX_PASSWORD + 1)] {
        let made = users.create_first_super_user("bob", password).await;
        assert!(matches!(made, Err(Error::Password)));
    }
    users.add("eve", "x", &Role::Named("reader".into()), true).await.unwrap();
    assert!(!users.has_super_user().await.unwrap());
    let first = users.create_first_super_user("eve", "y").await;
    assert!(matches!(first, Err(Error::NotFirst(_))), "the name is taken");
    let both = ["bob", "ann"].map(|name| users.create_first_super_user(name, "x"));
    let made = join_all(both).await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1, "one of two at once");
    assert!(users.has_super_user().await.unwrap());
    assert!(matches!(users.add("eve", "y", &Role::SuperUser, true).await, Err(Error::Taken(_))));
    assert!(users.verify("eve", "x", HERE).await.is_ok(), "eve is as she was");
}

#[tokio::test]
async fn someone_can_always_manage_the_node() {
    let folder = folder();
    let users = users(&folder).await;
    users.add("off", "x", &Role::SuperUser, false).await.unwrap();
    let inactive = || Change { active: Some(false), ..Change::default() };
    let reader = || Change { role: Some(Role::of_name("reader")), ..Change::default() };
    let last = |result| matches!(result, Err(Error::LastSuperUser(_)));
    assert!(last(users.remove("bob").await), "the other one is not active");
    assert!(last(users.alter("bob", inactive()).await) && last(users.alter("bob", reader()).await));
    assert!(users.verify("bob", "right", HERE).await.is_ok(), "bob is as he was");
    users.add("ann", "x", &Role::SuperUser, true).await.unwrap();
    let both = join_all(["ann", "bob"].map(|name| users.remove(name))).await;
    assert_eq!(both.iter().filter(|removed| removed.is_ok()).count(), 1, "one of two at once");
}
