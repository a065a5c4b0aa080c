//! SIGKILL at entries of the journal: each one from the drain to the end of the window, and every fifth of the others. The
//! window is left or finished by the guard, nothing is lost or doubled, RDS is asked for one switchover, and the way back
//! works whatever was in doubt.

use pointsman::journal::{Event, halt};

use super::{
    RATE,
    support::{Account, DEPLOYMENT},
};
use crate::cutover::{
    killing::{account_for, lead_back},
    support::{KILLED, Load, ended},
};

#[tokio::test(flavor = "multi_thread")]
async fn each_entry_around_the_switchover_and_every_fifth_of_the_others() {
    let account = Account::new().await;
    let scene = &account.stage.scene;
    account.overlay.each_state_lasts(1);
    let load = scene.load(RATE);
    load.flows().await;
    scene.run(0).await;
    let at = |wanted: fn(&Event) -> bool| scene.entries().iter().find(|entry| wanted(&entry.event)).unwrap().seq;
    let drain = at(|event| crate::replica::support::begins(event, "drain"));
    let passed = at(|event| matches!(event, Event::Passed { .. }));
    let last = scene.entries().last().unwrap().seq;
    scene.must(5, &["rollback", "--output", "json"]).await;
    load.stop().await;
    let around = drain..=passed;
    for seq in (3..last).filter(|seq| around.contains(seq) || seq % 5 == 3) {
        kill_at(&account, seq, seq % 2 == 1).await;
    }
}

/// Kills a run there, and leads it back: resumed first, or not.
pub async fn kill_at(account: &Account, seq: u64, resumes: bool) {
    if account.overlay.deployment_status(DEPLOYMENT) != "AVAILABLE" {
        account.again().await;
    }
    let scene = &account.stage.scene;
    account.proxy.forget();
    let load = scene.load(RATE);
    load.flows().await;
    let run = scene.command(&scene.run_words()).env(halt::KILL_AT, seq.to_string()).spawn().unwrap();
    assert_eq!(ended(run).await.code, KILLED, "{}", scene.story());
    recover(account, load, seq, resumes).await;
}

async fn recover(account: &Account, load: Load, seq: u64, resumes: bool) {
    let scene = &account.stage.scene;
    let when = lead_back(scene, &load, seq, resumes).await;
    assert!(account.asked() <= 1, "asked for twice, {when}\n{}", scene.story());
    account.stage.assert_undone(&when).await;
    account_for(scene, load, &when).await;
}
