//! Surgery on a list of actions: the weights of two groups are changed, everything else stays. And comparing two lists,
//! which AWS and people write in several forms.

use super::actions::{Action, FORWARD, Forward, Group, Stickiness};

/// The largest weight that AWS takes.
pub const WEIGHT_MAX: i32 = 999;
/// Groups that one action may divide traffic between.
pub const GROUPS_MAX: usize = 5;

/// The two groups of a shift, by their ARNs.
#[derive(Clone, Copy, Debug)]
pub struct Groups<'a> {
    /// The one that traffic leaves.
    pub from: &'a str,
    /// The one that it moves to.
    pub to: &'a str,
}

/// Weights of both groups that give `share` per cent to the new one, to a tenth of a per cent: they add up to 100, or to
/// 1000 where that is too coarse. Both get some unless the share is 0 or 100, and never do both weigh nothing.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "0 to 1000")]
pub fn weights(share: f64) -> (i32, i32) {
    let tenths = (share.clamp(0.0, 100.0) * 10.0).round() as i32;
    let tenths = match tenths {
        0 if share > 0.0 => 1,
        1000 if share < 100.0 => 999,
        tenths => tenths,
    };
    if tenths % 10 == 0 { (100 - tenths / 10, tenths / 10) } else { (1000 - tenths, tenths) }
}

/// The actions with weights for a share. `Err` says why these actions can't be weighed.
pub fn with_share(actions: &[Action], groups: Groups<'_>, share: f64) -> Result<Vec<Action>, String> {
    let mut actions = actions.to_vec();
    let action = the_forward(&mut actions)?;
    let mut forward = normal(action);
    let (leaving, arriving) = weights(share);
    let others: i32 = others(&forward, groups).iter().map(|group| group.weight.unwrap_or(1)).sum();
    if others > 0 {
        return Err(
            "it also gives weight to a group that is neither side: what share would be left is not clear".into()
        );
    }
    set(&mut forward, groups.from, leaving);
    set(&mut forward, groups.to, arriving);
    if forward.target_groups.len() > GROUPS_MAX {
        return Err(format!("with the new group it has {}, and AWS takes {GROUPS_MAX}", forward.target_groups.len()));
    }
    // Where both forms are sent they must not contradict each other.
    action.target_group_arn = None;
    action.forward_config = Some(forward);
    Ok(actions)
}

/// The actions without the old group, which must weigh nothing. `Err` says why it can't leave.
pub fn without(actions: &[Action], groups: Groups<'_>) -> Result<Vec<Action>, String> {
    let named = divided(actions).into_iter().find(|(arn, _)| arn == groups.from);
    match named {
        None => Ok(actions.to_vec()),
        Some((_, weight)) if weight > 0 => Err(format!("the old group still has weight {weight} there")),
        Some(_) => {
            let mut actions = actions.to_vec();
            let action = the_forward(&mut actions)?;
            let mut forward = normal(action);
            forward.target_groups.retain(|group| group.target_group_arn.as_deref() != Some(groups.from));
            if forward.target_groups.is_empty() {
                return Err("there would be no group left".into());
            }
            action.target_group_arn = None;
            action.forward_config = Some(forward);
            Ok(actions)
        }
    }
}

/// The share in per cent that the new group gets; nothing when no group has any weight, or there is no forward action.
#[must_use]
pub fn share(actions: &[Action], groups: Groups<'_>) -> Option<f64> {
    let mut actions = actions.to_vec();
    let forward = normal(the_forward(&mut actions).ok()?);
    let weight = |group: &Group| group.weight.unwrap_or(1);
    let all: i32 = forward.target_groups.iter().map(weight).sum();
    let ours = forward.target_groups.iter().filter(|group| group.target_group_arn.as_deref() == Some(groups.to));
    let arriving: i32 = ours.map(weight).sum();
    (all > 0).then(|| f64::from(arriving) * 100.0 / f64::from(all))
}

/// The groups that the actions forward to, with their weights.
#[must_use]
pub fn divided(actions: &[Action]) -> Vec<(String, i32)> {
    let mut actions = actions.to_vec();
    let Ok(forward) = the_forward(&mut actions).map(|action| normal(action)) else { return Vec::new() };
    let one = |group: &Group| (group.target_group_arn.clone().unwrap_or_default(), group.weight.unwrap_or(1));
    forward.target_groups.iter().map(one).collect()
}

/// How long clients stay with a group, if they do.
#[must_use]
pub fn stickiness(actions: &[Action]) -> Option<i32> {
    let mut actions = actions.to_vec();
    let config = normal(the_forward(&mut actions).ok()?).target_group_stickiness_config?;
    (config.enabled == Some(true)).then(|| config.duration_seconds.unwrap_or_default())
}

/// The same actions with other stickiness.
pub fn with_stickiness(actions: &[Action], wanted: Option<Stickiness>) -> Result<Vec<Action>, String> {
    let mut actions = actions.to_vec();
    let action = the_forward(&mut actions)?;
    let mut forward = normal(action);
    forward.target_group_stickiness_config = wanted;
    action.target_group_arn = None;
    action.forward_config = Some(forward);
    Ok(actions)
}

/// Whether two lists mean the same. AWS gives a single group both as `TargetGroupArn` and in `ForwardConfig`, numbers
/// actions that came without an order, and tells stickiness that is off.
#[must_use]
pub fn same(one: &[Action], other: &[Action]) -> bool {
    canonical(one) == canonical(other)
}

/// One form for all lists that mean the same.
#[must_use]
pub fn canonical(actions: &[Action]) -> Vec<Action> {
    let mut actions = actions.to_vec();
    actions.sort_by_key(|action| action.order.unwrap_or(i32::MAX));
    for action in &mut actions {
        action.order = None;
        if action.kind == FORWARD {
            let mut forward = normal(action);
            forward.target_groups.sort_by(|a, b| a.target_group_arn.cmp(&b.target_group_arn));
            forward.target_group_stickiness_config =
                forward.target_group_stickiness_config.filter(|config| config.enabled == Some(true));
            if let [only] = forward.target_groups.as_mut_slice() {
                // A single group gets everything, whatever it weighs; but nothing of it when it weighs nothing.
                only.weight = only.weight.map(|weight| weight.min(1));
            }
            action.target_group_arn = None;
            action.forward_config = Some(forward);
        }
    }
    actions
}

/// What a forward action does, in the form with weights.
fn normal(action: &Action) -> Forward {
    let mut forward = action.forward_config.clone().unwrap_or_default();
    if forward.target_groups.is_empty()
        && let Some(arn) = &action.target_group_arn
    {
        forward.target_groups.push(Group { target_group_arn: Some(arn.clone()), weight: Some(1) });
    }
    for group in &mut forward.target_groups {
        group.weight = group.weight.or(Some(1));
    }
    forward
}

fn the_forward(actions: &mut [Action]) -> Result<&mut Action, String> {
    let mut forwards = actions.iter_mut().filter(|action| action.kind == FORWARD);
    match (forwards.next(), forwards.next()) {
        (Some(action), None) => Ok(action),
        (None, _) => Err("it has no forward action".into()),
        (Some(_), Some(_)) => Err("it has several forward actions".into()),
    }
}

fn others<'f>(forward: &'f Forward, groups: Groups<'_>) -> Vec<&'f Group> {
    let ours = [Some(groups.from), Some(groups.to)];
    forward.target_groups.iter().filter(|group| !ours.contains(&group.target_group_arn.as_deref())).collect()
}

fn set(forward: &mut Forward, arn: &str, weight: i32) {
    match forward.target_groups.iter_mut().find(|group| group.target_group_arn.as_deref() == Some(arn)) {
        Some(group) => group.weight = Some(weight),
        None => forward.target_groups.push(Group { target_group_arn: Some(arn.to_owned()), weight: Some(weight) }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const GROUPS: Groups<'_> = Groups { from: "arn:blue", to: "arn:green" };

    fn actions(value: Value) -> Vec<Action> {
        serde_json::from_value(value).unwrap()
    }

    fn plain() -> Vec<Action> {
        actions(json!([{ "Type": "forward", "TargetGroupArn": "arn:blue" }]))
    }

    #[test]
    fn weights_read_as_per_cent_and_go_down_to_a_tenth() {
        let wanted = [(0.0, (100, 0)), (0.1, (999, 1)), (1.0, (99, 1)), (33.3, (667, 333)), (50.0, (50, 50))];
        for (share, pair) in wanted.into_iter().chain([(99.9, (1, 999)), (100.0, (0, 100)), (0.01, (999, 1))]) {
            assert_eq!(weights(share), pair, "{share}");
        }
    }

    #[test]
    fn everything_but_the_weights_stays() {
        let before = actions(json!([
            { "Type": "authenticate-cognito", "Order": 1, "AuthenticateCognitoConfig": { "UserPoolArn": "arn:p" } },
            { "Type": "forward", "Order": 2, "ForwardConfig": {
                "TargetGroups": [{ "TargetGroupArn": "arn:blue", "Weight": 5 }, { "TargetGroupArn": "arn:old", "Weight": 0 }],
                "TargetGroupStickinessConfig": { "Enabled": true, "DurationSeconds": 60 } } },
        ]));
        let after = with_share(&before, GROUPS, 10.0).unwrap();
        assert_eq!(after[0], before[0]);
        let forward = after[1].forward_config.clone().unwrap();
        assert_eq!(after[1].order, Some(2));
        assert_eq!(divided(&after), [("arn:blue".into(), 90), ("arn:old".into(), 0), ("arn:green".into(), 10)]);
        assert_eq!(forward.target_group_stickiness_config.unwrap().duration_seconds, Some(60));
        assert_eq!((share(&after, GROUPS), stickiness(&after)), (Some(10.0), Some(60)));
    }

    #[test]
    fn the_old_group_leaves_only_where_it_weighs_nothing() {
        let moved = with_share(&plain(), GROUPS, 100.0).unwrap();
        let left = without(&moved, GROUPS).unwrap();
        assert_eq!(divided(&left), [("arn:green".into(), 100)]);
        assert_eq!(without(&left, GROUPS).unwrap(), left, "it is gone already");
        assert!(without(&with_share(&plain(), GROUPS, 99.0).unwrap(), GROUPS).unwrap_err().contains("weight"));
        assert!(without(&plain(), GROUPS).is_err(), "it has everything");
    }

    #[test]
    fn what_can_not_be_weighed_is_refused() {
        let refused = |value| with_share(&actions(value), GROUPS, 10.0).unwrap_err();
        assert!(refused(json!([{ "Type": "redirect" }])).contains("no forward"));
        let third = json!([{ "Type": "forward", "ForwardConfig": { "TargetGroups": [
            { "TargetGroupArn": "arn:blue", "Weight": 1 }, { "TargetGroupArn": "arn:other", "Weight": 1 }] } }]);
        assert!(refused(third).contains("neither side"));
        let many: Vec<Value> = (0..5).map(|n| json!({ "TargetGroupArn": format!("arn:{n}"), "Weight": 0 })).collect();
        assert!(
            refused(json!([{ "Type": "forward", "ForwardConfig": { "TargetGroups": many } }])).contains("AWS takes 5")
        );
        let nothing = json!([{ "Type": "forward", "ForwardConfig": { "TargetGroups": [
            { "TargetGroupArn": "arn:blue", "Weight": 0 }] } }]);
        assert_eq!(share(&actions(nothing), GROUPS), None);
    }

    #[test]
    fn both_forms_of_an_answer_mean_the_same() {
        let aws = actions(json!([{ "Type": "forward", "Order": 1, "TargetGroupArn": "arn:blue", "ForwardConfig": {
            "TargetGroups": [{ "TargetGroupArn": "arn:blue", "Weight": 1 }],
            "TargetGroupStickinessConfig": { "Enabled": false } } }]));
        assert!(same(&plain(), &aws));
        let weighed = with_share(&plain(), GROUPS, 10.0).unwrap();
        assert!(!same(&plain(), &weighed));
        let mut turned = weighed.clone();
        turned[0].forward_config.as_mut().unwrap().target_groups.reverse();
        assert!(same(&weighed, &turned));
        let sticky =
            with_stickiness(&weighed, Some(Stickiness { enabled: Some(true), duration_seconds: Some(9) })).unwrap();
        assert!(!same(&weighed, &sticky));
    }

    proptest! {
        #[test]
        fn shares_are_exact_monotone_and_never_nothing(tenths in 0..=1000_i32, next in 0..=1000_i32) {
            let (one, two) = (f64::from(tenths) / 10.0, f64::from(next) / 10.0);
            let (leaving, arriving) = weights(one);
            prop_assert!((0..=WEIGHT_MAX).contains(&leaving) && (0..=WEIGHT_MAX).contains(&arriving));
            prop_assert!(leaving + arriving > 0);
            let given = share(&with_share(&plain(), GROUPS, one).unwrap(), GROUPS).unwrap();
            prop_assert!((given - one).abs() < 1e-9, "{one} {given}");
            let other = share(&with_share(&plain(), GROUPS, two).unwrap(), GROUPS).unwrap();
            prop_assert_eq!(one < two, given < other);
        }
    }
}
