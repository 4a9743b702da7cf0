package timeline

// MaxRecords bounds what a Joiner keeps.
const MaxRecords = maxRecords

// Kept counts all that a joiner has in memory: records, and entries of its indexes.
func (j *Joiner) Kept() (records, entries int) {
	for _, list := range j.left {
		entries += len(list)
	}
	for _, list := range j.came {
		entries += len(list)
	}
	for _, index := range []map[question][]*node{j.questions, j.answers} {
		for _, list := range index {
			entries += len(list)
		}
	}
	for _, list := range j.caused {
		entries += len(list)
	}
	return j.records, entries + len(j.causes) + len(j.ways)
}

// Ghosts counts what is remembered of what was shown.
func (j *Joiner) Ghosts() int { return len(j.ghosts) }
