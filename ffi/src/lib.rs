//! C and C++ interface of nowcast.
