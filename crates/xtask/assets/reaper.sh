# Waits beside the owner of "$dir" and cleans up when the owner is gone: its end of our standard input closes whatever it died of.
# Only the word "keep" lets the processes live on without an owner.
trap '' HUP INT QUIT TERM PIPE
mkdir -m 700 "$dir" || exit 1
mkdir "$dir/pids" "$dir/logs" || exit 1
echo ready
exec >/dev/null
while read -r word; do
    if [ "$word" = keep ]; then exit 0; fi
done
cd /
reap
