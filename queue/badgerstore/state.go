package badgerstore

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/sluice-webhooks/sluice/queue"
)

// appliedState is what the last committed transaction says about the whole store.
type appliedState struct {
	seq     uint64 // last event
	commits uint64 // number of transactions
	events  int64  // stored at present
	kept    kept   // by whoever wrote last
	latest  int64  // see Store.latest
	lanes   map[uint16]*laneRow
	sources map[string]*sourceRow
	buckets map[uint32]bucketRow
}

func newAppliedState() appliedState {
	return appliedState{lanes: map[uint16]*laneRow{}, sources: map[string]*sourceRow{}, buckets: map[uint32]bucketRow{}}
}

// kept says which rows that follow from others are right, and what was under way. A version that does not know of some leaves their bit out, whatever it finds.
type kept byte

const (
	keptZones kept = 1 << iota
	keptFilters
	keptPart // there are deliveries of the next event, which is not there (see addEvent)
)

// laneRow is what is kept of a destination.
type laneRow struct {
	name string
	counts
	lowFIFO uint64 // no FIFO row of an earlier block
	lowDue  int64  // no row of the schedule with an earlier due
	lowOpen uint64 // no row of the open table with an earlier event
}

type sourceRow struct {
	accepted uint64
	last     int64
}

func (r *laneRow) encode() []byte {
	e := encoder{b: make([]byte, 0, 96)}
	e.string(r.name)
	for _, n := range []int64{r.pending, r.delivered, r.dead, r.cancelled, r.owners, r.lowDue} {
		e.int(n)
	}
	e.uint(r.lowFIFO)
	e.uint(r.lowOpen)
	return e.b
}

func decodeLaneRow(value []byte) (*laneRow, error) {
	d := decoder{b: value}
	r := &laneRow{name: d.string()}
	for _, n := range []*int64{&r.pending, &r.delivered, &r.dead, &r.cancelled, &r.owners, &r.lowDue} {
		*n = d.int()
	}
	r.lowFIFO, r.lowOpen = d.uint(), d.uint()
	if d.bad {
		return nil, queue.ErrDamaged
	}
	return r, nil
}

func (r *sourceRow) encode() []byte {
	e := encoder{b: make([]byte, 0, 24)}
	e.uint(r.accepted)
	e.int(r.last)
	return e.b
}

func decodeSourceRow(value []byte) (*sourceRow, error) {
	d := decoder{b: value}
	r := &sourceRow{accepted: d.uint(), last: d.int()}
	if d.bad {
		return nil, queue.ErrDamaged
	}
	return r, nil
}

// load reads the rows of destinations, sources and buckets.
func (st *appliedState) load(sn *snapshot) (err error) {
	each := func(prefix []byte, fn func(name, value []byte) error) {
		sn.scan(prefix, prefix, func(key []byte, item *badger.Item) bool {
			if err == nil {
				err = item.Value(func(sealed []byte) error {
					value, ok := unseal(key, sealed)
					if !ok {
						return fmt.Errorf("row %q: %w%s", key, queue.ErrDamaged, wayOut)
					}
					return fn(key[len(prefix):], value)
				})
			}
			return err == nil
		})
	}
	each(prefixDest, func(name, value []byte) (err error) {
		st.lanes[be.Uint16(name)], err = decodeLaneRow(value)
		return err
	})
	each(prefixSource, func(name, value []byte) (err error) {
		st.sources[string(name)], err = decodeSourceRow(value)
		return err
	})
	each(prefixBucket, func(name, value []byte) (err error) {
		st.buckets[be.Uint32(name)], err = decodeBucketRow(value)
		return err
	})
	return err
}
