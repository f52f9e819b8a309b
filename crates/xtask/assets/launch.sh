# Announces itself in the nest, then becomes the program. Without the announcement there is no start: the nest is going down.
announcement=$1
shift
echo $$ >"$announcement.new" && mv "$announcement.new" "$announcement.pid" && exec "$@"
