# Ends the processes announced in "$dir/pids" and removes "$dir".
# A process is ours when its environment names the directory: a recycled pid is never touched.
ours() {
    tr '\0' '\n' 2>/dev/null <"/proc/$1/environ" | grep -qxF "MUSTER_NEST=$dir"
}

reap() {
    # Once the folder has another name no launcher can announce itself any more, and one that cannot does not start.
    mv "$dir/pids" "$dir/reaped" 2>/dev/null
    pids=$(cat "$dir"/reaped/*.pid 2>/dev/null)
    # Nothing in here outlives the directory, so nobody needs time to say goodbye.
    for pid in $pids; do
        if ours "$pid"; then kill -s KILL -- "-$pid" "$pid" 2>/dev/null; fi
    done
    tries=0
    while [ "$tries" -lt 100 ]; do
        alive=
        for pid in $pids; do
            if ours "$pid"; then alive=$pid; fi
        done
        if [ -z "$alive" ] && rm -rf "$dir" 2>/dev/null && [ ! -e "$dir" ]; then return 0; fi
        tries=$((tries + 1))
        sleep 0.05 2>/dev/null || sleep 1
    done
    return 1
}
