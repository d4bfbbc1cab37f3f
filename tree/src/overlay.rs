#[derive(Debug)]
pub struct OverlayError;
#[derive(Debug)]
pub struct Replaced;
