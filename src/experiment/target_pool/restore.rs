//! Restores the pool after the experiments.

use std::time::Duration;

use serde_json::json;

use super::TargetPool;
use crate::client::RingReport;
use crate::experiment::error::Error;

/// Time limit for the replacement of a replica that was killed.
const LIMIT: Duration = Duration::from_secs(30);

const POLL_INTERVAL: Duration = Duration::from_millis(50);

impl TargetPool {
    /// Restores ring, weights and replicas. Returns what could not be restored.
    pub(in crate::experiment) async fn restore(&self) -> Vec<String> {
        self.settle().await;
        let mut problems = Vec::new();
        if let Err(error) = self.put_back(&mut problems).await {
            problems.push(error.to_string());
        }
        problems
    }

    async fn put_back(&self, problems: &mut Vec<String>) -> Result<(), Error> {
        let now = self.ring().await?;
        let mut note = |result: Result<(), Error>| {
            problems.extend(result.err().map(|error| error.to_string()));
        };
        if ring_of(&now) != ring_of(self.before()) {
            note(self.put_ring(ring_of(self.before())).await);
        }
        let own: Vec<_> = now.replicas.iter().filter(|replica| self.is_own(replica)).collect();
        if !own.is_empty() {
            note(self.remove(&own).await);
        }
        for before in &self.before().replicas {
            let now = now.replicas.iter().find(|replica| replica.number == before.number);
            if let Some(now) = now.filter(|now| now.weight != before.weight) {
                note(self.set_weight(&now.name, before.weight).await);
            }
        }
        if !self.is_whole().await {
            problems.push("not all replicas are ready again".to_owned());
        }
        Ok(())
    }

    /// Waits until as many replicas are ready as before the experiments.
    async fn is_whole(&self) -> bool {
        let wanted = ready(self.before());
        let whole = async {
            while self.client().ring().await.is_ok_and(|ring| ready(&ring) < wanted) {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        tokio::time::timeout(LIMIT, whole).await.is_ok()
    }
}

/// The part of a report that `PUT /ring` sets.
fn ring_of(report: &RingReport) -> serde_json::Value {
    json!({
        "family": report.family,
        "probing": report.probing,
        "placement": report.placement,
        "slots": report.slots,
        "virtual_nodes": report.virtual_nodes,
        "key": report.key,
    })
}

fn ready(report: &RingReport) -> usize {
    report.replicas.iter().filter(|replica| replica.state == "ready").count()
}
