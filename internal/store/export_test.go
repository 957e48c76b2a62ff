package store

// Written is the number of bytes that commits have written to the file.
func (s *Store) Written() int64 {
	stats := s.db.Stats().TxStats
	return stats.GetPageAlloc() + int64(s.Generation())*pageSize // and a meta page each
}
