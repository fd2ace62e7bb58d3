//! The generator: equal seeds, and its range.

use carrel_training::random::Random;

#[test]
fn equal_seeds_give_equal_numbers_and_neighbours_do_not() {
    let draw = |seed| -> Vec<u64> {
        let mut random = Random::new(seed);
        (0..8).map(|_| random.bits()).collect()
    };
    assert_eq!(draw(1234), draw(1234));
    assert!(draw(1234).iter().all(|bits| !draw(1235).contains(bits)));
}

#[test]
fn uniform_numbers_fill_their_range() {
    let mut random = Random::new(1);
    let numbers: Vec<f64> = (0..10_000).map(|_| random.uniform()).collect();
    assert!(numbers.iter().all(|x| (0.0..1.0).contains(x)));
    let mean = numbers.iter().sum::<f64>() / 1e4;
    // The deviation of the mean is 0.0029.
    assert!((mean - 0.5).abs() < 0.015, "{mean}");
}
