# Announces its pid and its time of birth in the nest, then becomes the program, which inherits both. Without the
# announcement there is no start: the nest is going down.
announcement=$1
shift
read -r stat <"/proc/$$/stat" || exit 1
born=$(set -- ${stat##*) } && echo "${20}")
echo "$$ $born" >"$announcement.new" && mv "$announcement.new" "$announcement.pid" && exec "$@"
