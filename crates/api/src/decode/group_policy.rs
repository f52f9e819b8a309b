//! What the objects and pods of all dialects say about a group's policy.

use super::brief;
use super::json::{Presence, Str, Struct};
use super::metadata::Annotations;
use super::path::Path;
use crate::group_names::{MIN_COUNT_ANNOTATION, WHEN_BROKEN_ANNOTATION};
use muster_framework::Text;
use muster_framework::group::{GroupPolicy, GroupTerms, WhenBroken};
use serde::Deserialize;
use std::fmt::Display;

const ANNOTATIONS: Path<'static> = Path::Root("metadata.annotations");

/// `policy` of a Workload's pod group, `schedulingPolicy` of a PodGroup.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Policy {
    basic: Presence,
    gang: Option<Struct<Gang>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Gang {
    /// Wider than the API's 32 bits, so that what does not fit is a problem of this group alone.
    min_count: Option<i64>,
}

impl Policy {
    /// The policy that stands at `path`, or what is wrong with it, naming the field.
    pub(super) fn read(&self, path: Path<'_>) -> Result<GroupPolicy, Text> {
        match (&self.basic, &self.gang) {
            (Some(_), None) => Ok(GroupPolicy::Basic),
            (None, Some(gang)) => {
                let path = path.field("gang");
                let field = path.field("minCount");
                match gang.min_count {
                    Some(count) => gang_of(count, field),
                    None => Err(format!("{field}: is missing").into()),
                }
            }
            (None, None) => Err(format!("{path}: states neither basic nor gang").into()),
            (Some(_), Some(_)) => Err(format!("{path}: states both basic and gang").into()),
        }
    }
}

/// A gang of at least `count`, which stands in this field.
pub(super) fn gang_of(count: i64, field: impl Display) -> Result<GroupPolicy, Text> {
    if count < 1 {
        return Err(format!("{field}: {count} is less than 1").into());
    }
    match i32::try_from(count) {
        Ok(min_count) => Ok(GroupPolicy::Gang { min_count }),
        Err(_) => Err(format!("{field}: {count} is more than {}", i32::MAX).into()),
    }
}

impl Annotations<'_> {
    /// What is to become of a broken gang's members, if it is said, or what is wrong with it.
    pub(super) fn when_broken(&self) -> Option<Result<WhenBroken, Text>> {
        self.when_broken.as_ref().map(|stated| match &**stated {
            "keep" | "Keep" => Ok(WhenBroken::Keep),
            "evict" | "Evict" => Ok(WhenBroken::Evict),
            other => {
                let field = ANNOTATIONS.field(WHEN_BROKEN_ANNOTATION);
                Err(format!("{field}: {:?} is neither keep nor evict", brief(other)).into())
            }
        })
    }

    /// What a pod with Muster's own label says of its group. A count that is missing is no gang of one: a misspelt key must
    /// not start half a gang.
    pub(super) fn group_terms(&self) -> GroupTerms {
        let field = ANNOTATIONS.field(MIN_COUNT_ANNOTATION);
        let policy = match self.min_count.as_ref().map(|stated: &Str<'_>| (stated, stated.parse())) {
            None => Err(format!("{field}: is missing").into()),
            Some((_, Ok(count))) => gang_of(count, field),
            Some((stated, Err(_))) => Err(format!("{field}: {:?} is not a whole number", brief(stated)).into()),
        };
        match self.when_broken().transpose() {
            Ok(when_broken) => GroupTerms { policy, when_broken },
            Err(problem) => GroupTerms {
                policy: policy.and(Err(problem)),
                when_broken: None,
            },
        }
    }
}
