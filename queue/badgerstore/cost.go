package badgerstore

// Badger takes so many rows and bytes in one transaction and no more: 13,000 rows with the usual memtables, and 1,600 with the smallest. What does not fit makes the store fail, and
// again each time that it is tried. So the applier knows what each change takes before it makes it, and whoever makes a change sees to it that it fits a transaction,
// or that it can be made in several.

// cost is what something takes of a transaction.
type cost struct {
	rows, bytes int // as Badger counts them
	large       int // bytes for the value log, of which Badger counts a pointer each
}

const (
	rowExtra    = 12 // what Badger counts of a row beside its key and value
	pointerSize = 12 // what it counts of a value that goes to the value log

	// maxLarge bounds the bytes of one transaction that go to the value log, which Badger holds in memory twice. A larger event has one of its own.
	maxLarge = 8 << 20

	// roomyTenths is what is used of Badger's limits.
	roomyTenths = 8
)

// The largest that rows become, with their keys and checksums.
const (
	smallRowMost  = 60  // rows of numbers
	laneRowMost   = 100 // without the destination's name
	sourceRowMost = 40  // without the source's name
	blockRowMost  = 60  // without its order keys
	blockKeyMost  = 18  // each of those
)

func (c *cost) add(o cost) {
	c.rows += o.rows
	c.bytes += o.bytes
	c.large += o.large
}

// rowOf is what a row of that size takes.
func rowOf(size int) cost { return cost{rows: 1, bytes: size + rowExtra} }

func smallRows(n int) cost { return cost{rows: n, bytes: n * (smallRowMost + rowExtra)} }

// mutCost is what setting or deleting a key takes.
func (s *Store) mutCost(key, value int) cost {
	if value >= s.o.valueThreshold() {
		return cost{rows: 1, bytes: key + pointerSize + rowExtra, large: value}
	}
	return rowOf(key + value)
}

// roomy is what is put into one transaction at most.
func (s *Store) roomy() cost {
	return cost{
		rows: int(s.db.MaxBatchCount()) * roomyTenths / 10, bytes: int(s.db.MaxBatchSize()) * roomyTenths / 10,
		// Badger maps a file of the value log at twice its size and begins another one after a transaction. What goes beyond that it maps anew, under those who read.
		large: int(min(maxLarge, s.o.ValueLogFileSize/2)),
	}
}

func laneCost(destination string) cost { return rowOf(laneRowMost + len(destination)) }

func sourceCost(name string) cost { return rowOf(sourceRowMost + len(name)) }

func blockCost(b *block) cost { return rowOf(blockRowMost + blockKeyMost*len(b.hashes)) }

// deliveryCost is what a delivery of a new event takes.
func (a *applier) deliveryCost(p *pending, d *pendingDelivery) cost {
	c := laneCost(d.lane.name)
	if d.timed {
		c.add(smallRows(2))
		return c
	}
	c.add(blockCost(&a.block(d.lane, blockOf(p.seq)).block))
	if d.hash != 0 {
		c.bytes += blockKeyMost
	}
	return c
}

// recordCost is what a new event takes beside its deliveries, and beside what it completes of a zone.
func (s *Store) recordCost(source string, record int) cost {
	c := s.mutCost(len(eventKey(0)), record)
	c.add(smallRows(2)) // its claim, and that one's bucket
	c.add(sourceCost(source))
	return c
}

func (a *applier) eventCost(p *pending) cost {
	c := a.s.recordCost(p.ev.Source, len(p.record))
	for i := range p.deliveries {
		c.add(a.deliveryCost(p, &p.deliveries[i]))
	}
	return c
}

// opCost is what an operation takes at most.
func (a *applier) opCost(o *op) (c cost) {
	for _, m := range o.muts {
		c.add(a.s.mutCost(len(m.key), len(m.value)))
	}
	if o.endBucket != 0 || o.sealed.number != 0 {
		c.add(smallRows(1))
	}
	if o.lane != nil {
		c.add(laneCost(o.lane.name))
	}
	for _, seq := range o.left {
		c.add(blockCost(&a.block(o.lane, blockOf(seq)).block))
	}
	for _, p := range o.pruned {
		c.add(laneCost(p.lane.name))
		c.add(blockCost(&a.block(p.lane, blockOf(p.seq)).block))
	}
	return c
}
