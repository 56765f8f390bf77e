#!/usr/bin/env bash
# Builds Caddy with Sluice, and with any other plugins that are named: ./xcaddy.sh [<module>[@<version>]...]
# Writes ./caddy, or the file in $OUTPUT. Uses xcaddy if it is there; without other plugins, plain Go does as well.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

output=${OUTPUT:-caddy}
module=github.com/sluice-webhooks/sluice
caddy=$(go list -m -f '{{.Version}}' github.com/caddyserver/caddy/v2)

if command -v xcaddy >/dev/null; then
	with=(--with "$module/caddymodule" --replace "$module=$PWD")
	for plugin in "$@"; do with+=(--with "$plugin"); done
	xcaddy build "$caddy" --output "$output" "${with[@]}"
elif [ $# -eq 0 ]; then
	go build -ldflags '-s -w' -o "$output" ./cmd/caddy # the same cache as `go run`
else
	echo "other plugins need xcaddy: go install github.com/caddyserver/xcaddy/cmd/xcaddy@latest" >&2
	exit 1
fi
case $output in */*) ;; *) output=./$output ;; esac
"$output" list-modules | grep -q '^http.handlers.webhook$' || { echo "$output was built without the webhook handler" >&2; exit 1; }
echo "built $output: $("$output" version)"
