//! Who waits for whom on PostgreSQL: nobody in a circle, and nobody for a process that is gone.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::{Client, NoTls};

use super::stage::{LEASE, LINK, Stage, admin_url, given_back};
use crate::lifecycle::Tasks;
use crate::model::delivery::{Reason, State};
use crate::model::id::DeliveryId;
use crate::model::outcome::VerdictClass;
use crate::store::{Claimed, StoreError};

/// Nothing here takes longer unless it waits for somebody.
const PATIENCE: Duration = Duration::from_secs(20);

/// Somebody else with a transaction of his own.
struct Other {
    client: Client,
    tasks: Tasks,
}

impl Other {
    /// Begins a transaction on the database that was made for `name`.
    async fn begin(name: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(&admin_url(name), NoTls).await.unwrap();
        let tasks = Tasks::new();
        tasks.spawn(async move { drop(connection.await) });
        client.batch_execute("BEGIN").await.unwrap();
        Self { client, tasks }
    }

    /// Locks the row of a delivery in a narrow table; fails if somebody else holds it.
    async fn lock(&self, table: &str, id: DeliveryId) {
        let sql = format!("SELECT 1 FROM {table} WHERE delivery = $1 FOR UPDATE NOWAIT");
        let found = self.client.query(&sql, &[&id.0]).await.unwrap();
        assert_eq!(found.len(), 1, "{table}");
    }

    /// Returns once a transaction of another one waits for a lock.
    async fn is_waited_for(&self) {
        let wait = "DO $$ BEGIN WHILE NOT EXISTS (SELECT 1 FROM pg_stat_activity \
                    WHERE datname = current_database() AND wait_event_type = 'Lock') LOOP \
                    PERFORM pg_sleep(0.01); PERFORM pg_stat_clear_snapshot(); END LOOP; END $$";
        tokio::time::timeout(PATIENCE, self.client.batch_execute(wait)).await.unwrap().unwrap();
    }

    async fn commit(&self) {
        self.client.batch_execute("COMMIT").await.unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.tasks.hard().cancel();
    }
}

/// Two claims, one lost; the batch of answers that came for both.
#[tokio::test]
async fn who_enters_a_lost_answer_waits_for_nobody_on_postgres_that_waits_for_its_claims() {
    let stage = Stage::postgres("lost_answer").await;
    let ids = stage.plan("1", 2).await;
    let claims = stage.claim().await;
    let of = |id: DeliveryId| -> &Arc<Claimed> {
        claims.iter().find(|claim| claim.delivery.id == id).unwrap()
    };
    let back = given_back(of(ids[1]));
    stage.store.finish(vec![back]).await.unwrap();
    let other = Other::begin("lost_answer").await;
    other.lock("waiting", ids[1]).await;

    let answers = || vec![stage.sent(of(ids[0])), stage.sent(of(ids[1]))];
    let while_held = tokio::time::timeout(PATIENCE, stage.store.finish(answers())).await.unwrap();
    other.commit().await;
    let ends = stage.store.finish(answers()).await.unwrap();

    assert!(matches!(while_held, Err(StoreError::Conflict(_))), "{while_held:?}");
    assert!(ends.iter().all(|end| end.state == State::Sent), "{ends:?}");
    stage.assert_closed().await;
}

#[tokio::test]
async fn who_calls_a_fallback_on_postgres_waits_for_it_before_it_holds_a_claim() {
    let stage = Stage::postgres("called_fallback").await;
    let ids = stage.plan_chain("1").await;
    let claim = stage.claim().await.remove(0);
    let other = Other::begin("called_fallback").await;
    other.lock("waiting", ids[1]).await;

    let failed = stage.answered(&claim, VerdictClass::Refused, State::Failed, Reason::Refused);
    let finish = stage.store.finish(vec![failed]);
    let meet = async {
        other.is_waited_for().await;
        other.lock("claimed", ids[0]).await;
        other.commit().await;
    };
    let (ends, ()) = tokio::join!(finish, meet);

    assert_eq!(ends.unwrap()[0].state, State::Failed);
    stage.clock.advance(LINK / 2);
    assert_eq!(stage.claim().await.len(), 1, "the fallback is due at once");
    stage.assert_closed().await;
}

#[tokio::test]
async fn who_says_on_postgres_that_it_lives_waits_for_nobody_who_says_so_too() {
    let stage = Stage::postgres("both_beat").await;
    let late = Stage::again("both_beat", stage.clock.clone());
    stage.store.beat().await.unwrap();
    late.beat().await.unwrap();
    stage.clock.advance(LEASE);
    let other = Other::begin("both_beat").await;
    let said = "UPDATE process SET beat = beat WHERE run = $1";
    assert_eq!(other.client.execute(said, &[&late.run().0]).await.unwrap(), 1);

    let beat = tokio::time::timeout(Duration::from_secs(4), stage.store.beat()).await;

    assert!(beat.is_ok_and(|beat| beat.is_ok()), "it waits for the other");
    other.commit().await;
}
