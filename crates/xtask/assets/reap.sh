# Ends the processes announced in "$dir/pids" and removes "$dir".

# Whether the process with this pid lives and was born at that time: a recycled pid has a later time. (An environment or a
# command line would say more, but both are empty for the moment in which a process becomes another program.)
lives() {
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    born=$2
    # What follows the name, which may hold anything: the state first, the time of birth as the twentieth.
    set -- ${stat##*) }
    [ "$1" != Z ] && [ "$1" != X ] && [ "${20}" = "$born" ]
}

reap() {
    # Once the folder has another name no launcher can announce itself any more, and one that cannot does not start.
    mv "$dir/pids" "$dir/reaped" 2>/dev/null
    # Nothing in here outlives the directory, so nobody needs time to say goodbye.
    tries=0
    while [ "$tries" -lt 100 ]; do
        alive=
        for announcement in "$dir"/reaped/*.pid; do
            { read -r pid born <"$announcement"; } 2>/dev/null || continue
            if lives "$pid" "$born"; then
                alive=$pid
                kill -s KILL -- "-$pid" "$pid" 2>/dev/null
            fi
        done
        if [ -z "$alive" ] && rm -rf "$dir" 2>/dev/null && [ ! -e "$dir" ]; then return 0; fi
        tries=$((tries + 1))
        sleep 0.02 2>/dev/null || sleep 1
    done
    return 1
}
