//! Images that nodes have: by name, with the nodes that have them, so that a pod's images cost what they are found on.

use crate::Text;
use crate::record::NodeImage;
use crate::table::NodeOrd;
use rustc_hash::FxHashMap;

/// An image under one of its names, and where it is.
#[derive(Debug)]
pub struct PlacedImage {
    name: Text,
    size: i64,
    /// In order.
    nodes: Vec<NodeOrd>,
}

impl PlacedImage {
    /// Bytes, as the first of its nodes said: upstream keeps one size for a name, for as long as any node has it.
    pub fn size(&self) -> i64 {
        self.size
    }

    /// The nodes that have it, in the order of their ordinals.
    pub fn nodes(&self) -> &[NodeOrd] {
        &self.nodes
    }
}

/// All images on nodes.
#[derive(Debug, Default)]
pub(crate) struct Images {
    entries: Vec<PlacedImage>,
    by_name: FxHashMap<Text, u32>,
    free: Vec<u32>,
    /// By node: what it has, under each name once, in the order in which it says so.
    on_node: Vec<Box<[u32]>>,
}

impl Images {
    /// The image of this name, if a node has it.
    pub(crate) fn get(&self, name: &str) -> Option<&PlacedImage> {
        let at = *self.by_name.get(name)?;
        Some(&self.entries[at as usize])
    }

    /// What a node has, each name as an image of its own.
    pub(crate) fn of(&self, node: NodeOrd) -> impl Iterator<Item = NodeImage> {
        let on_node = self.on_node.get(node.index()).into_iter().flatten();
        on_node.map(|at| {
            let PlacedImage { name, size, .. } = &self.entries[*at as usize];
            NodeImage {
                names: Box::new([name.clone()]),
                size: *size,
            }
        })
    }

    /// Sets what a node has; says whether anything changed.
    ///
    /// Source: `pkg/scheduler/backend/cache.cacheImpl.UpdateNode`: what the node had is forgotten first, and with it the
    /// size of an image that no other node has.
    pub(crate) fn set(&mut self, node: NodeOrd, images: &[NodeImage]) -> bool {
        if self.on_node.len() <= node.index() {
            self.on_node.resize_with(node.index() + 1, Box::default);
        }
        if self.is_unchanged(node, images) {
            return false;
        }
        for at in std::mem::take(&mut self.on_node[node.index()]) {
            self.forget(at, node);
        }
        let mut on_node = Vec::new();
        for image in images {
            for name in &image.names {
                let at = self.intern(name, image.size);
                let nodes = &mut self.entries[at as usize].nodes;
                if let Err(before) = nodes.binary_search(&node) {
                    nodes.insert(before, node);
                    on_node.push(at);
                }
            }
        }
        self.on_node[node.index()] = on_node.into();
        true
    }

    /// Whether the node says the same as before, and nothing else follows from its saying so again: the usual heartbeat.
    fn is_unchanged(&self, node: NodeOrd, images: &[NodeImage]) -> bool {
        let on_node = &self.on_node[node.index()];
        let names = || {
            images
                .iter()
                .flat_map(|image| image.names.iter().map(|name| (name, image.size)))
        };
        on_node.len() == names().count()
            && on_node.iter().zip(names()).all(|(at, (name, size))| {
                let entry = &self.entries[*at as usize];
                entry.name == *name && (entry.size == size || entry.nodes.len() > 1)
            })
    }

    fn intern(&mut self, name: &Text, size: i64) -> u32 {
        if let Some(&at) = self.by_name.get(name) {
            return at;
        }
        let entry = PlacedImage {
            name: name.clone(),
            size,
            nodes: Vec::new(),
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.entries[at as usize] = entry;
                at
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        self.by_name.insert(name.clone(), at);
        at
    }

    fn forget(&mut self, at: u32, node: NodeOrd) {
        let entry = &mut self.entries[at as usize];
        if let Ok(found) = entry.nodes.binary_search(&node) {
            entry.nodes.remove(found);
        }
        if entry.nodes.is_empty() {
            self.by_name.remove(&entry.name);
            entry.nodes = Vec::new();
            self.free.push(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(names: &[&str], size: i64) -> NodeImage {
        NodeImage {
            names: names.iter().map(|name| Text::from(*name)).collect(),
            size,
        }
    }

    fn seen(images: &Images, name: &str) -> Option<(i64, Vec<u32>)> {
        let image = images.get(name)?;
        Some((image.size(), image.nodes().iter().map(|node| node.0).collect()))
    }

    #[test]
    fn an_image_has_one_size_for_as_long_as_any_node_has_it() {
        let mut images = Images::default();
        images.set(NodeOrd(1), &[image(&["a", "a2"], 10)]);
        images.set(NodeOrd(0), &[image(&["a"], 20), image(&["a", "b"], 30)]);
        assert_eq!(seen(&images, "a"), Some((10, vec![0, 1])));
        assert_eq!(seen(&images, "a2"), Some((10, vec![1])));
        assert_eq!(seen(&images, "b"), Some((30, vec![0])));
        images.set(NodeOrd(1), &[]);
        assert_eq!((seen(&images, "a"), seen(&images, "a2")), (Some((10, vec![0])), None));
        images.set(NodeOrd(0), &[image(&["a"], 20)]);
        assert_eq!((seen(&images, "a"), seen(&images, "b")), (Some((20, vec![0])), None));
        images.set(NodeOrd(0), &[]);
        assert_eq!(seen(&images, "a"), None);
    }
}
