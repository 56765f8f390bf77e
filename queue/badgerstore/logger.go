package badgerstore

import (
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"
)

// badgerLog passes on what Badger says, and makes the store fail when Badger says that it could not keep a promise and only says it: a
// failed sync of its value log is logged, and the commit succeeds all the same.
type badgerLog struct {
	log  *zap.Logger
	fail func(error)
}

// broken are the messages after which nothing that Badger acknowledges can be relied on.
var broken = []string{"curlf sync", "writeRequests", "flush memtable", "flushing memtable"}

var errBadger = errors.New("badger reports a failed write")

// Errorf, Warningf, Infof and Debugf implement badger.Logger.
func (b badgerLog) Errorf(format string, args ...any) {
	text := strings.TrimSpace(fmt.Sprintf(format, args...))
	for _, part := range broken {
		if strings.Contains(format, part) || strings.Contains(text, part) {
			b.fail(fmt.Errorf("%w: %s", errBadger, text))
			return
		}
	}
	// Messages about damaged values come with keys and parts of them.
	if strings.HasPrefix(format, "Unable to read") || strings.HasPrefix(format, "Key:") || strings.HasPrefix(format, "Invalid read") {
		b.log.Error("badger: a value cannot be read")
		return
	}
	b.log.Error("badger: " + text)
}

func (b badgerLog) Warningf(format string, args ...any) {
	b.log.Warn("badger: " + strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (b badgerLog) Infof(format string, args ...any) { b.Debugf(format, args...) }

func (b badgerLog) Debugf(format string, args ...any) {
	if ce := b.log.Check(zap.DebugLevel, "badger"); ce != nil {
		ce.Write(zap.String("text", strings.TrimSpace(fmt.Sprintf(format, args...))))
	}
}
