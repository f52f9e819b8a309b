//! Pods that terms speak of, counted by node and by domain.
