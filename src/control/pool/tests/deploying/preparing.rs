//! Deploys where the runtime has to find the image first.

use super::*;

/// Three replicas of a runtime that prepares deploys, in this order.
fn preparing(order: DeployOrder) -> Herd {
    let now = Instant::now();
    let facts = RuntimeFacts { kind: "test", owner: Owner::Balancer, lists: false, prepares: true };
    let deploy = DeployConfig { order, revisions: vec![revision("v1")], ..DeployConfig::default() };
    let config = ControlConfig { replicas: 3, deploy, ..ControlConfig::default() };
    let mut herd =
        Herd::with(Pool::new(config, facts, Vec::new(), 1, now).expect("a good configuration"), now);
    for launch in launches(&herd.first.clone()) {
        herd.bring_up(launch.id);
    }
    herd
}

/// The deploy that something is to be prepared for, and the revision.
fn prepared(actions: &Actions) -> Option<(u64, String)> {
    actions.iter().find_map(|action| match action {
        Action::Prepare { deploy, revision } => Some((*deploy, revision.shown().to_owned())),
        _ => None,
    })
}

fn touches(actions: &Actions) -> usize {
    launches(actions).len() + stops(actions).len() + publications(actions).len()
}

impl Herd {
    fn prepared(&mut self, deploy: u64, result: Result<(), &str>) -> Actions {
        let result = result.map_err(str::to_owned);
        self.step(Event::Runtime(RuntimeEvent::Prepared { deploy, result }))
    }
}

#[test]
fn nothing_is_touched_before_the_image_is_there() {
    for order in [DeployOrder::StartFirst, DeployOrder::StopFirst] {
        let mut herd = preparing(order);
        let begun = herd.deploy("v1", None);
        assert_eq!((prepared(&begun), touches(&begun)), (Some((1, "v1".to_owned())), 0));
        assert_eq!((herd.view().state, herd.steps()), (DeployState::Preparing, vec![DeployStep::Pending; 3]));
        // A pull may take long, and who dies meanwhile is what it was.
        assert_eq!(touches(&herd.calm(Duration::from_secs(600))), 0);
        let dead = herd.placed()[&2];
        let again = launches(&herd.exit(dead));
        assert_eq!(again[0].revision.shown(), "base");
        herd.bring_up(again[0].id);
        assert_eq!(touches(&herd.prepared(2, Ok(()))), 0, "that is another deploy");
        let actions = herd.prepared(1, Ok(()));
        assert_eq!(herd.view().state, DeployState::Starting);
        assert!(touches(&actions) > 0, "{order:?}");
        assert_eq!(touches(&herd.prepared(1, Err("too late"))), 0);
        assert_eq!(herd.view().state, DeployState::Starting);
    }
}

#[test]
fn without_the_image_it_ends_as_it_began() {
    for order in [DeployOrder::StartFirst, DeployOrder::StopFirst] {
        let mut herd = preparing(order);
        herd.deploy("v1", None);
        let actions = herd.prepared(1, Err("no image"));
        let view = herd.view();
        assert_eq!(
            (view.state, view.reason.as_str(), touches(&actions)),
            (DeployState::Reverted, "no image", 0)
        );

        herd.deploy("v1", None);
        assert!(!herd.pool.wants_deploy_samples(), "there is nothing to judge");
        let actions = herd.ask(Request::AbortDeploy);
        assert_eq!((herd.view().state, touches(&actions)), (DeployState::Aborted, 0));
        assert!(actions.contains(&Action::CancelPreparation));
        assert_eq!(touches(&herd.prepared(2, Ok(()))), 0, "nobody waits for that any more");

        let begun = herd.deploy("v1", None);
        assert_eq!(prepared(&begun), Some((3, "v1".to_owned())));
        herd.step(Event::Runtime(RuntimeEvent::Unavailable { reason: "away".to_owned() }));
        assert_eq!((herd.view().state, herd.view().reason.as_str()), (DeployState::Reverted, "away"));
        assert_eq!(herd.revisions(), ["base"; 3]);
    }
}
