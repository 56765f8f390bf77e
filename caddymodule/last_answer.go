package caddymodule

import (
	"context"
	"net/http"
)

// lastAnswer is the head of the last answer to an attempt. Where `lb_retry_match` has the proxy ask again because of an answer, it keeps the last one to itself.
type lastAnswer struct {
	status int
	header http.Header
}

type lastAnswerKey struct{}

func lastAnswerOf(ctx context.Context) *lastAnswer {
	last, _ := ctx.Value(lastAnswerKey{}).(*lastAnswer)
	return last
}

// note takes an answer; nil means that none came.
func (l *lastAnswer) note(resp *http.Response) {
	*l = lastAnswer{}
	if resp != nil && resp.StatusCode >= 200 {
		*l = lastAnswer{resp.StatusCode, resp.Header}
	}
}
